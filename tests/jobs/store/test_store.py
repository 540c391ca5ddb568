"""Jobs on disk: durability, leases, and deletion without remains."""

import io
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from whisperlive_hybrid.errors import BadRequest, Overloaded
from whisperlive_hybrid.jobs.model import (
    Job,
    JobRequest,
    JobSource,
    NewJob,
    NewSource,
    Result,
    SourceOrigin,
    Status,
)
from whisperlive_hybrid.jobs.store.queries import WebhookDelivery
from whisperlive_hybrid.jobs.store.spool import generate_name
from whisperlive_hybrid.jobs.store.store import JobStore, open_store
from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.protocol.openai.request import AudioRequest

pytestmark = pytest.mark.anyio

NOW = 1_000_000.0
OWNER = "this server"
REQUEST = JobRequest(AudioRequest(model="demo"))


async def submit(
    store: JobStore, name: str = "job_1", files: int = 1, limit: int = 9, account: str = OWNER
) -> Job:
    """Submit a job with uploads."""
    sources = [NewSource(f"{n}.wav", SourceOrigin.UPLOAD, generate_name()) for n in range(files)]
    for source in sources:
        await store.spool_upload(source.spooled, io.BytesIO(b"audio"))
    return await store.add(NewJob(name, account, REQUEST), sources, NOW, limit)


async def take_next(store: JobStore, now: float = NOW) -> Job | None:
    """Take the next job, leased for a minute."""
    return await store.take(OWNER, ["demo"], now, now + 60)


async def complete(store: JobStore, job: Job, expires_at: float = NOW + 100) -> None:
    """End the job as completed."""
    over = replace(job, status=Status.COMPLETED, finished_at=NOW, expires_at=expires_at)
    assert await store.end_job(over, OWNER, None)


def in_spool(store: JobStore) -> int:
    """Return the number of files in the spool."""
    return len(list(store.spool.path("x").parent.iterdir()))


def test_only_the_server_reads_what_was_said(tmp_path: Path) -> None:
    """Also in an existing directory that other users can read."""
    tmp_path.chmod(0o755)
    (tmp_path / "jobs.db").touch(0o644)
    with open_store(tmp_path):
        kept = list(tmp_path.iterdir())
        assert {"jobs.db", "jobs.db-wal", "spool"} <= {each.name for each in kept}
        assert {each.name for each in kept if each.stat().st_mode & 0o077} == set()


async def test_a_job_reads_as_it_was_submitted(store: JobStore) -> None:
    """With its files in order, queued, and the audio on disk."""
    job = await submit(store, files=3)
    assert await store.get("job_1") == job
    assert job.request == REQUEST
    assert [source.name for source in job.sources] == ["0.wav", "1.wav", "2.wav"]
    assert {source.status for source in job.sources} == {job.status} == {Status.QUEUED}
    assert store.spool.path(job.sources[0].spooled).read_bytes() == b"audio"
    assert await store.get("job_2") is None


async def test_jobs_outlive_the_process(tmp_path: Path) -> None:
    """Submitted jobs are there after the store was closed."""
    with open_store(tmp_path) as store:
        job = await submit(store)
    with open_store(tmp_path) as store:
        assert await store.get("job_1") == job


async def test_jobs_are_taken_once_in_the_order_of_submission(store: JobStore) -> None:
    """A leased job is not taken again, nor one of a model that is not available."""
    await submit(store, "job_1")
    await submit(store, "job_2")
    first, second = await take_next(store), await take_next(store)
    assert first is not None
    assert second is not None
    assert [first.id, second.id] == ["job_1", "job_2"]
    assert (first.status, first.started_at) == (Status.RUNNING, NOW)
    assert await take_next(store) is None
    await submit(store, "job_3")
    assert await store.take(OWNER, ["small"], NOW, NOW + 60) is None


async def test_a_lease_that_ran_out_is_free_again(store: JobStore) -> None:
    """Another worker continues, and the first one can no longer end the job."""
    await submit(store)
    held = await take_next(store)
    assert held is not None
    assert await store.renew(held, OWNER, NOW + 120)
    assert await take_next(store, NOW + 90) is None
    other = await store.take("another", ["demo"], NOW + 121, NOW + 200)
    assert other is not None
    assert other.started_at == NOW
    assert not await store.renew(held, OWNER, NOW + 300)
    assert not await store.end_job(replace(held, status=Status.COMPLETED), OWNER, None)


async def test_recovery_releases_running_jobs(store: JobStore) -> None:
    """At the start no worker runs, since the directory is locked."""
    await submit(store)
    await take_next(store)
    assert await take_next(store) is None
    assert await store.recover() == (1, [])
    again = await take_next(store)
    assert again is not None
    assert again.id == "job_1"


async def test_recovery_deletes_files_without_a_row(store: JobStore) -> None:
    """Uploads without a job after a crash, and partial files."""
    job = await submit(store)
    orphan = generate_name()
    await store.spool_upload(orphan, io.BytesIO(b"lost"))
    half = store.spool.path("half.part")
    half.touch()
    _, deleted = await store.recover()
    assert sorted(deleted) == sorted([orphan, "half.part"])
    assert store.spool.path(job.sources[0].spooled).exists()


async def test_too_many_unfinished_jobs_are_refused(store: JobStore) -> None:
    """The limit counts queued and running jobs, not those that have ended."""
    await submit(store, "job_1", limit=2)
    job = await take_next(store)
    assert job is not None
    await submit(store, "job_2", limit=2)
    with pytest.raises(Overloaded, match="2 jobs are unfinished") as refusal:
        await submit(store, "job_3", limit=2)
    assert refusal.value.retry_after_s <= 10  # a short file is read sooner
    await complete(store, job)
    await submit(store, "job_4", limit=2)


async def test_a_refused_job_leaves_no_rows(store: JobStore) -> None:
    """A job is stored with all its files or not at all."""
    await submit(store, "job_1")
    with pytest.raises(Exception, match="UNIQUE"):
        await submit(store, "job_1")
    assert len(await store.get_page(9, None, None)) == 1


async def test_pages_go_back_in_time(store: JobStore) -> None:
    """Newest first; a page continues below the given number; a status filters."""
    jobs = [await submit(store, f"job_{n}") for n in range(5)]
    await take_next(store)
    assert [job.id for job in await store.get_page(2, None, None)] == ["job_4", "job_3"]
    below = await store.get_page(9, jobs[3].number, None)
    assert [job.id for job in below] == ["job_2", "job_1", "job_0"]
    assert [job.id for job in await store.get_page(9, None, Status.RUNNING)] == ["job_0"]


def done(source: JobSource, result: Result) -> JobSource:
    """Return the file as completed."""
    return replace(source, status=Status.COMPLETED, done=result.duration, total=result.duration)


async def test_a_file_that_ended_has_a_result_and_no_audio(store: JobStore) -> None:
    """Uploads are kept no longer than they are needed."""
    await submit(store)
    job = await take_next(store)
    assert job is not None
    source = job.sources[0]
    assert await store.get_result(source) is None
    result = Result((), "en", 2.5)
    await store.end_source(done(source, result), result)
    assert await store.get_result(source) == result
    assert in_spool(store) == 0
    read = await store.get("job_1")
    assert read is not None
    assert (read.sources[0].status, read.done, read.total) == (Status.COMPLETED, 2.5, 2.5)


async def test_failures_are_stored(store: JobStore) -> None:
    """With all fields of the error object."""
    job = await submit(store)
    failure = ErrorInfo("No audio.", "invalid_request_error", "file", None)
    failed = replace(job.sources[0], status=Status.FAILED, failure=failure)
    await store.end_source(failed, None)
    read = await store.get("job_1")
    assert read is not None
    assert read.sources[0].failure == failure


async def test_cancelled_is_cancelled(store: JobStore) -> None:
    """The audio is deleted at once, and a worker that still runs the job cannot end it."""
    await submit(store)
    job = await take_next(store)
    assert job is not None
    assert await store.cancel(job.as_cancelled(NOW, NOW + 100), None)
    assert not await store.cancel(job.as_cancelled(NOW, NOW + 100), None)
    assert in_spool(store) == 0
    await store.end_source(done(job.sources[0], Result((), "en", 1.0)), Result((), "en", 1.0))
    assert not await store.end_job(replace(job, status=Status.COMPLETED), OWNER, None)
    read = await store.get("job_1")
    assert read is not None
    assert {read.status, read.sources[0].status} == {Status.CANCELLED}


async def test_expired_jobs_are_gone_with_their_files(store: JobStore, tmp_path: Path) -> None:
    """No row of them is left in any table, and no file; other jobs stay."""
    await submit(store, files=2)
    job = await take_next(store)
    assert job is not None
    await store.end_source(job.sources[0], Result((), "en", 1.0))
    await complete(store, job, expires_at=NOW + 10)
    await submit(store, "job_2")
    assert await store.expire(NOW + 9) == NOW + 10
    assert await store.get("job_1") is not None
    assert await store.expire(NOW + 10) is None
    assert [job.id for job in await store.get_page(9, None, None)] == ["job_2"]
    with sqlite3.connect(tmp_path / "data" / "jobs.db") as database:
        assert database.execute("SELECT count(*) FROM sources").fetchone() == (1,)
    database.close()
    assert in_spool(store) == 1


async def test_webhooks_wait_in_the_store(store: JobStore) -> None:
    """They are stored with the end of the job, returned when due, and deleted when delivered."""
    await submit(store)
    job = await take_next(store)
    assert job is not None
    delivery = WebhookDelivery("msg_1", "https://x.example", "{}", NOW + 5)
    assert await store.end_job(replace(job, status=Status.COMPLETED), OWNER, delivery)
    assert await store.get_due(NOW, 9) == []
    assert await store.get_next_due() == NOW + 5
    assert await store.get_due(NOW + 5, 9) == [delivery]
    await store.postpone(delivery, NOW + 60)
    assert await store.get_due(NOW + 60, 9) == [replace(delivery, due_at=NOW + 60, failed_tries=1)]
    await store.close_delivery(delivery)
    assert await store.get_next_due() is None


async def test_a_lost_job_sends_no_webhook(store: JobStore) -> None:
    """Its new owner sends the webhook; otherwise it would be sent twice."""
    await submit(store)
    job = await take_next(store)
    assert job is not None
    await store.cancel(job.as_cancelled(NOW, NOW + 10), None)
    delivery = WebhookDelivery("msg_1", "https://x.example", "{}", NOW)
    assert not await store.end_job(job, OWNER, delivery)
    assert await store.get_next_due() is None


async def test_deleting_takes_all_of_a_job(store: JobStore) -> None:
    """Its number is never used again, so no row can be mistaken for a part of it."""
    job = await submit(store, files=2)
    await store.delete(job)
    assert await store.get("job_1") is None
    assert in_spool(store) == 0
    assert (await submit(store)).number > job.number


def test_a_later_version_is_not_touched(tmp_path: Path) -> None:
    """After a downgrade the server does not start, and changes nothing."""
    with open_store(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "jobs.db") as database:
        database.execute("UPDATE schema_versions SET version = 99")
    database.close()
    with pytest.raises(BadRequest, match="later version"), open_store(tmp_path):
        pass


async def test_a_list_can_be_that_of_one_account(store: JobStore) -> None:
    """Filtered before the list is cut into pages, so that only the last page can be short."""
    for n in range(6):
        await submit(store, f"job_{n}", account=f"key:{n % 2}")
    assert [job.id for job in await store.get_page(2, None, None, "key:1")] == ["job_5", "job_3"]
    assert len(await store.get_page(9, None, None)) == 6
