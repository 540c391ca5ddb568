"""Jobs from submission to result: no loss and no repetition, whatever stops in between."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from gated_backend import TIMEOUT_S, GatedBackend
from job_fixtures import (
    SECRET,
    Clock,
    JobServer,
    Network,
    expected_text,
    job_request,
    run_job_server,
    spoken_wav,
    uploaded_files,
)
from wav_files import WavReader, open_wav, write_wav

from whisperlive_hybrid.backends.base import Encode
from whisperlive_hybrid.backends.fake import FakeBackend, Trouble, pause
from whisperlive_hybrid.errors import BadRequest, Conflict, NotFound, Overloaded, Unsupported
from whisperlive_hybrid.jobs.model import Job, JobRequest, Status
from whisperlive_hybrid.jobs.progress import JobSubscription, JobUpdate
from whisperlive_hybrid.jobs.service import JobService
from whisperlive_hybrid.jobs.webhooks import parse_secret, sign_headers
from whisperlive_hybrid.protocol.openai.request import AudioRequest
from whisperlive_hybrid.text.formats import TAIL
from whisperlive_hybrid.types import Language, Samples, join_text

pytestmark = pytest.mark.anyio

WORDS = range(1, 21)
TALK = spoken_wav(*WORDS)
HOOK = "https://example/hook"


def count_encoded(backend: FakeBackend) -> int:
    """Return the number of windows that the model has encoded."""
    return sum(size for kind, size in backend.calls if kind is Encode)


async def wait_for_worker(backend: GatedBackend) -> None:
    """Wait until a worker waits at the gate."""
    assert await anyio.to_thread.run_sync(backend.reached.wait, TIMEOUT_S)


async def text_of(server: JobServer, job: Job, index: int = 0) -> str:
    """Return the text of a file of a job."""
    _, [(_, result)] = await server.service.get_results(job.id, index)
    assert result is not None
    return join_text(result.segments)


# A job and its files


async def test_a_job_is_read_to_its_end(tmp_path: Path) -> None:
    """Its text, its language, its length; and its audio is deleted."""
    async with run_job_server(tmp_path) as server:
        job = await server.service.submit(job_request(language=None), uploaded_files(TALK))
        assert (job.status, job.done, job.total) == (Status.QUEUED, 0.0, None)
        ended = await server.wait_for_end(job)
        assert ended.status is Status.COMPLETED
        assert ended.text == expected_text(WORDS) == await text_of(server, job)
        assert ended.language == "en"
        assert ended.done == ended.total == pytest.approx(20 * 1.36)
        assert ended.expires_at == 1_000_000 + 24 * 3600
        assert server.spooled == []
        assert await server.service.get(job.id) == ended


async def test_one_bad_file_fails_itself_alone(tmp_path: Path) -> None:
    """The others are transcribed and the job is completed; each file has its own status."""
    async with run_job_server(tmp_path) as server:
        job = await server.service.submit(
            job_request(), uploaded_files(spoken_wav(1), b"no audio", spoken_wav(2))
        )
        ended = await server.wait_for_end(job)
        assert ended.status is Status.COMPLETED
        assert [source.status for source in ended.sources] == [
            Status.COMPLETED,
            Status.FAILED,
            Status.COMPLETED,
        ]
        failure = ended.sources[1].failure
        assert failure is not None
        assert "could not be decoded" in failure.message
        assert ended.text == "w1\nw2"
        assert ended.total == pytest.approx(2 * 1.36)
        assert server.spooled == []


@pytest.mark.parametrize("bad", [b"no audio", spoken_wav(int(Trouble.ITEM_FAILS))])
async def test_a_job_fails_if_no_file_succeeds(tmp_path: Path, bad: bytes) -> None:
    """With the reason, be it the file or the model."""
    async with run_job_server(tmp_path) as server:
        job = await server.service.submit(job_request(), uploaded_files(bad))
        ended = await server.wait_for_end(job)
        assert ended.status is Status.FAILED
        assert ended.failure == ended.sources[0].failure
        assert ended.failure is not None


async def test_a_file_that_is_too_short_fails_as_an_upload_does(tmp_path: Path) -> None:
    """The same rule as for a direct upload."""
    async with run_job_server(tmp_path) as server:
        job = await server.service.submit(job_request(), uploaded_files(spoken_wav(1)[:1000]))
        ended = await server.wait_for_end(job)
        assert ended.failure is not None
        assert ended.failure.code == "audio_too_short"


async def test_jobs_run_in_the_order_of_submission(tmp_path: Path) -> None:
    """One at a time by default."""
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend) as server:
        jobs = [
            await server.service.submit(job_request(), uploaded_files(spoken_wav(n)))
            for n in (1, 2, 3)
        ]
        await wait_for_worker(backend)
        found, has_more = await server.service.get_page(9, None, None)
        assert not has_more
        assert [job.id for job in found] == [job.id for job in reversed(jobs)]
        assert [job.status for job in found] == [Status.QUEUED, Status.QUEUED, Status.RUNNING]
        backend.gate.set()
        ended = [await server.wait_for_end(job) for job in jobs]
    assert [job.text for job in ended] == ["w1", "w2", "w3"]


async def test_a_list_goes_on_after_a_job(tmp_path: Path) -> None:
    """Page by page, every job is listed once."""
    async with run_job_server(tmp_path) as server:
        jobs = [
            await server.service.submit(job_request(), uploaded_files(spoken_wav(1)))
            for _ in range(3)
        ]
        for job in jobs:
            await server.wait_for_end(job)
        first, has_more = await server.service.get_page(2, None, None)
        assert has_more
        rest, has_more = await server.service.get_page(2, first[-1].id, None)
        assert not has_more
        assert [job.id for job in [*first, *rest]] == [job.id for job in reversed(jobs)]
        with pytest.raises(NotFound):
            await server.service.get_page(2, "job_of_another_server", None)


# What is refused


async def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """Before anything is stored."""
    async with run_job_server(tmp_path, settings={"job_files": 2}) as server:
        with pytest.raises(BadRequest, match="1 to 2 files and URLs together, not 0"):
            await server.service.submit(job_request(), [])
        with pytest.raises(BadRequest, match="not 3"):
            await server.service.submit(job_request("https://a", "https://b"), uploaded_files(TALK))
        with pytest.raises(BadRequest, match="is no URL"):
            await server.service.submit(job_request("file:///etc/passwd"), [])
        with pytest.raises(BadRequest, match="is no URL"):
            await server.service.submit(job_request(webhook="ftp://x"), uploaded_files(TALK))
        assert await server.service.get_page(9, None, None) == ([], False)
        assert server.spooled == []


async def test_a_webhook_needs_a_secret(tmp_path: Path) -> None:
    """A receiver could not verify an unsigned message, so the request is rejected at once."""
    async with run_job_server(tmp_path, settings={"webhook_secret": None}) as server:
        with pytest.raises(Unsupported, match="WHISPERLIVE_WEBHOOK_SECRET"):
            await server.service.submit(job_request(webhook=HOOK), uploaded_files(TALK))


async def test_too_many_jobs_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    """The error names the time to retry; the upload is not kept."""
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend, settings={"max_jobs": 1}) as server:
        await server.service.submit(job_request(), uploaded_files(TALK))
        with pytest.raises(Overloaded):
            await server.service.submit(job_request(), uploaded_files(TALK))
        assert len(server.spooled) == 1
        backend.gate.set()


# The end of a server in the middle of a job


@pytest.mark.parametrize("language", ["en", None])
@pytest.mark.parametrize("stop_at", range(0, 27, 3))
async def test_a_stopped_job_is_finished_by_the_next_start(
    tmp_path: Path, language: str | None, stop_at: int
) -> None:
    """With the text and the numbers of an undisturbed one, and no window is read twice.

    A language that is detected is unsure, so that the first windows are put to a vote.
    """
    async with run_job_server(tmp_path / "a", FakeBackend(language=Language("en", 0.4))) as server:
        job = await server.service.submit(
            job_request(language=language, words=True), uploaded_files(TALK)
        )
        await server.wait_for_end(job)
        _, [(_, undisturbed)] = await server.service.get_results(job.id, 0)
    first = FakeBackend(language=Language("en", 0.4))
    async with run_job_server(tmp_path / "b", first) as server:
        job = await server.service.submit(
            job_request(language=language, words=True), uploaded_files(TALK)
        )
        async with server.service.watch(job.id) as watch:
            while (
                (update := await watch.next()) and update.job.done < stop_at and not update.is_last
            ):
                pass
        stopped = await server.store.get(job.id)
        assert stopped is not None
    second = FakeBackend(language=Language("en", 0.4))
    async with run_job_server(tmp_path / "b", second) as server:
        kept = len((await server.store.load_checkpoint(stopped.sources[0])).known)
        await server.wait_for_end(job)
        _, [(_, resumed)] = await server.service.get_results(job.id, 0)
        assert server.spooled == []
        assert len((await server.service.get_page(9, None, None))[0]) == 1
    assert resumed == undisturbed
    assert stopped.status.is_finished or count_encoded(second) <= len(WORDS) - kept


async def test_a_job_that_waited_is_run_by_the_next_start(tmp_path: Path) -> None:
    """With its upload from the spool."""
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend) as server:
        jobs = [
            await server.service.submit(job_request(), uploaded_files(spoken_wav(n)))
            for n in (1, 2)
        ]
        await wait_for_worker(backend)
        backend.gate.set()
    async with run_job_server(tmp_path) as server:
        assert [(await server.wait_for_end(job)).text for job in jobs] == ["w1", "w2"]


async def test_files_that_were_done_are_not_done_again(tmp_path: Path) -> None:
    """The first of two files had ended when the server stopped; its text is kept."""
    backend = FakeBackend()
    async with run_job_server(tmp_path, backend) as server:
        job = await server.service.submit(job_request(), uploaded_files(spoken_wav(1, 2), TALK))
        async with server.service.watch(job.id) as watch:
            while (update := await watch.next()) and not update.job.sources[0].status.is_finished:
                pass
    second = FakeBackend()
    async with run_job_server(tmp_path, second) as server:
        assert (await server.wait_for_end(job)).text == f"w1 w2\n{expected_text(WORDS)}"
    assert count_encoded(second) <= len(WORDS)


async def test_a_missing_upload_fails_the_file(tmp_path: Path) -> None:
    """If the spool was emptied, the file fails with the reason."""
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend) as server:
        await server.service.submit(job_request(), uploaded_files(spoken_wav(1)))
        await wait_for_worker(backend)
        job = await server.service.submit(job_request(), uploaded_files(TALK))
        await server.store.delete_files([job.sources[0].spooled])
        backend.gate.set()
        ended = await server.wait_for_end(job)
        assert ended.failure is not None
        assert "no longer on the disk" in ended.failure.message


async def test_a_model_that_is_not_offered_any_more_is_waited_for(tmp_path: Path) -> None:
    """Another server, or the next start, may have it; the jobs behind it are not delayed."""
    async with run_job_server(tmp_path) as server:
        gone = JobRequest(AudioRequest(model="gone"))
        other = await server.service.submit(gone, uploaded_files(spoken_wav(2)))
        job = await server.service.submit(job_request(), uploaded_files(spoken_wav(1)))
        await server.wait_for_end(job)
        assert (await server.service.get(other.id)).status is Status.QUEUED


# A crowded engine


async def test_a_full_engine_fails_no_job(tmp_path: Path) -> None:
    """The job waits and retries; decoded windows are kept, and no text is shown twice."""
    tries = [0]
    backend = FakeBackend()

    @dataclass(frozen=True)
    class Crowded(WavReader):
        def blocks(self) -> Iterator[Samples]:
            """Fail twice, in the middle."""
            tries[0] += 1
            for number, block in enumerate(super().blocks()):
                if number == 20 and tries[0] <= 2:
                    raise Overloaded("full", retry_after_s=0.0)
                yield block

    @contextmanager
    def media(file: BinaryIO, /, **_options: object) -> Iterator[WavReader]:
        with open_wav(file) as reader:
            yield Crowded(reader.samples)

    async with run_job_server(tmp_path, backend, media=media) as server:
        job = await server.service.submit(job_request(), uploaded_files(TALK))
        async with server.service.watch(job.id) as watch:
            deltas = [update.delta async for update in all_of(watch)]
        assert "".join(deltas) == expected_text(WORDS)
    assert tries == [3]


async def all_of(watch: JobSubscription) -> AsyncIterator[JobUpdate]:
    """All updates of a subscription."""
    while update := await watch.next():
        yield update


# Cancelling and deleting


async def test_a_running_job_is_cancelled_at_once(tmp_path: Path) -> None:
    """Its windows are cancelled and its audio is deleted; a second time has no effect."""
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend) as server:
        job = await server.service.submit(job_request(), uploaded_files(TALK))
        await wait_for_worker(backend)
        cancelled = await server.service.cancel(job.id)
        assert (cancelled.status, cancelled.sources[0].status) == (Status.CANCELLED,) * 2
        assert cancelled.expires_at is not None
        assert server.spooled == []
        assert await server.service.cancel(job.id) == cancelled
        backend.gate.set()
        assert (
            await server.wait_for_end(
                await server.service.submit(job_request(), uploaded_files(spoken_wav(1)))
            )
        ).text == "w1"
        assert await server.service.get(job.id) == cancelled


async def test_a_cancelled_job_keeps_all_that_was_read(tmp_path: Path) -> None:
    """The completed files, and of the running one all text that subscribers got."""
    words = range(1, 101)

    @dataclass(frozen=True)
    class Interrupted(WavReader):
        def blocks(self) -> Iterator[Samples]:
            """Fail near the end of a long file, for longer than the test lasts."""
            for number, block in enumerate(super().blocks()):
                if number == 260:
                    raise Overloaded("full", retry_after_s=3600.0)
                yield block

    @contextmanager
    def media(file: BinaryIO, /, **_options: object) -> Iterator[WavReader]:
        with open_wav(file) as reader:
            yield Interrupted(reader.samples)

    network = Network()
    async with run_job_server(tmp_path, media=media, network=network) as server:
        job = await server.service.submit(
            job_request(webhook=HOOK, language=None),
            uploaded_files(spoken_wav(1, 2), spoken_wav(*words)),
        )
        seen = ""
        async with server.service.watch(job.id) as watch:
            while len(seen) <= TAIL and (update := await watch.next()):
                seen += update.delta
        cancelled = await server.service.cancel(job.id)
        assert cancelled.text.startswith(seen)
        assert f"w1 w2\n{expected_text(words)}".startswith(cancelled.text)
        assert cancelled.language == "en"
        assert await server.service.get(job.id) == cancelled
        await wait_for_posts(network, 1)
    [(_, body, _)] = network.posted
    assert json.loads(body)["job"]["text"] == cancelled.text


async def test_a_waiting_job_is_cancelled(tmp_path: Path) -> None:
    """It never starts."""
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend) as server:
        first = await server.service.submit(job_request(), uploaded_files(spoken_wav(1)))
        second = await server.service.submit(job_request(), uploaded_files(spoken_wav(2)))
        await server.service.cancel(second.id)
        backend.gate.set()
        await server.wait_for_end(first)
        assert (await server.service.get(second.id)).started_at is None


async def test_what_has_ended_is_not_cancelled(tmp_path: Path) -> None:
    """A result is never removed by a late cancellation."""
    async with run_job_server(tmp_path) as server:
        job = await server.service.submit(job_request(), uploaded_files(spoken_wav(1)))
        await server.wait_for_end(job)
        with pytest.raises(Conflict, match="completed already"):
            await server.service.cancel(job.id)
        assert await text_of(server, job) == "w1"


@pytest.mark.parametrize("is_running", [True, False])
async def test_a_deleted_job_is_gone(tmp_path: Path, is_running: bool) -> None:
    """With its audio and its result, running or ended; subscribers get an update."""
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend) as server:
        job = await server.service.submit(job_request(), uploaded_files(TALK))
        await wait_for_worker(backend)
        if not is_running:
            backend.gate.set()
            await server.wait_for_end(job)
        async with server.service.watch(job.id) as watch:
            first = await watch.next()
            await server.service.delete(job.id)
            last = [first, *[update async for update in all_of(watch)]][-1]
        assert last is not None
        assert last.is_last
        assert (last.job.status is Status.CANCELLED) == is_running
        with pytest.raises(NotFound):
            await server.service.get(job.id)
        assert server.spooled == []
        backend.gate.set()


async def test_results_wait_for_the_end(tmp_path: Path) -> None:
    """A partial result could be mistaken for a complete one; an invalid index is named."""
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend) as server:
        job = await server.service.submit(job_request(), uploaded_files(TALK))
        with pytest.raises(Conflict) as refusal:
            await server.service.get_results(job.id, 0)
        assert refusal.value.code == "job_not_finished"
        backend.gate.set()
        await server.wait_for_end(job)
        with pytest.raises(BadRequest, match="no file 1"):
            await server.service.get_results(job.id, 1)


async def test_results_expire(tmp_path: Path) -> None:
    """After the configured time nothing of a job is left."""
    clock = Clock()
    async with run_job_server(tmp_path, clock=clock) as server:
        job = await server.service.submit(job_request(), uploaded_files(spoken_wav(1)))
        await server.wait_for_end(job)
    clock.now += 24 * 3600 - 1
    async with run_job_server(tmp_path, clock=clock) as server:
        assert await text_of(server, job) == "w1"
    clock.now += 1
    async with run_job_server(tmp_path, clock=clock) as server:
        await server.store.expire(clock.now)
        with pytest.raises(NotFound):
            await server.service.get(job.id)


# Watching


async def test_a_subscriber_gets_every_word_once(tmp_path: Path) -> None:
    """A subscriber gets the current state at once and, piece by piece, the whole text."""
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend) as server:
        files = uploaded_files(spoken_wav(1, 2), write_wav(pause(1.0)), b"no audio", TALK)
        job = await server.service.submit(job_request(), files)
        await wait_for_worker(backend)
        async with server.service.watch(job.id) as watch, server.service.watch(job.id) as late:
            first = await watch.next()
            assert first is not None
            assert first.job.status is Status.RUNNING
            backend.gate.set()
            updates = [each async for each in all_of(watch)]
            of_late = [each async for each in all_of(late)]
        text = f"w1 w2\n{expected_text(WORDS)}"
        assert first.delta + "".join(each.delta for each in updates) == text
        assert "".join(each.delta for each in of_late) == text
        assert [each.is_last for each in updates] == [False] * (len(updates) - 1) + [True]
        assert updates[-1].job.text == text
        done = [each.job.done for each in updates]
        assert done == sorted(done)


async def test_a_slow_subscriber_gets_the_newest_state(tmp_path: Path) -> None:
    """Missed states are not queued; all their text is in one update."""
    async with run_job_server(tmp_path) as server:
        job = await server.service.submit(job_request(), uploaded_files(TALK))
        async with server.service.watch(job.id) as slow:
            await slow.next()
            await server.wait_for_end(job)
            rest = [update async for update in all_of(slow)]
        assert len(rest) <= 2
        assert rest[-1].is_last


async def test_a_subscription_to_an_ended_job_ends_at_once(tmp_path: Path) -> None:
    """The only update is its end."""
    async with run_job_server(tmp_path) as server:
        job = await server.service.submit(job_request(), uploaded_files(spoken_wav(1)))
        ended = await server.wait_for_end(job)
        async with server.service.watch(job.id) as watch:
            assert [each async for each in all_of(watch)] == [JobUpdate(ended, is_last=True)]


async def test_subscriptions_end_when_the_server_stops(tmp_path: Path) -> None:
    """The job has not ended, so no subscriber gets an end."""
    backend = GatedBackend()
    last_flags: list[bool] = []

    async def look_on(service: JobService, job: Job) -> None:
        async with service.watch(job.id) as watch:
            last_flags.extend([update.is_last async for update in all_of(watch)])

    async with anyio.create_task_group() as tasks, run_job_server(tmp_path, backend) as server:
        job = await server.service.submit(job_request(), uploaded_files(TALK))
        tasks.start_soon(look_on, server.service, job)
        await wait_for_worker(backend)
        backend.gate.set()
        server.close()
    assert True not in last_flags


# URLs


async def test_urls_are_fetched(tmp_path: Path) -> None:
    """As files of the job after its uploads, with the names that their servers send."""
    network = Network({"https://example/a.wav": spoken_wav(1)})
    async with run_job_server(tmp_path, network=network) as server:
        request = job_request("https://example/a.wav", "https://example/gone.wav?signature=hush")
        ended = await server.wait_for_end(
            await server.service.submit(request, uploaded_files(spoken_wav(2)))
        )
        assert ended.text == "w2\nw1"
        assert [source.name for source in ended.sources] == [
            "0.wav",
            "a.wav",
            "https://example/gone.wav",
        ]
        assert [source.status for source in ended.sources] == [
            Status.COMPLETED,
            Status.COMPLETED,
            Status.FAILED,
        ]
        assert server.spooled == []


async def test_what_was_fetched_is_not_fetched_again(tmp_path: Path) -> None:
    """The server stopped during the transcription: the next one finds the file in the spool."""
    network = Network({"https://example/a.wav": TALK})
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend, network=network) as server:
        job = await server.service.submit(job_request("https://example/a.wav"), [])
        await wait_for_worker(backend)
        backend.gate.set()
    async with run_job_server(tmp_path, network=network) as server:
        assert (await server.wait_for_end(job)).text == expected_text(WORDS)
    assert network.asked == ["https://example/a.wav"]


async def test_a_download_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    """Neither if its job is cancelled nor if the server stops."""
    begun = anyio.Event()

    class Endless(Network):
        async def download(self, url: str, into: BinaryIO) -> NoReturn:
            """Never finish."""
            del url
            into.write(b"half of it")
            begun.set()
            await anyio.sleep_forever()
            raise AssertionError

    async with run_job_server(tmp_path, network=Endless()) as server:
        job = await server.service.submit(job_request("https://example/a.wav"), [])
        await begun.wait()
        assert len(server.spooled) == 1
        await server.service.cancel(job.id)
        assert server.spooled == []
        begun = anyio.Event()
        await server.service.submit(job_request("https://example/a.wav"), [])
        await begun.wait()
        directory = server.directory / "spool"
    assert list(directory.iterdir()) == []


# Webhooks


async def test_the_end_of_a_job_sends_a_webhook(tmp_path: Path) -> None:
    """As the last event of the job, signed."""
    network = Network()
    async with run_job_server(tmp_path, network=network) as server:
        job = await server.service.submit(job_request(webhook=HOOK), uploaded_files(spoken_wav(1)))
        await server.wait_for_end(job)
        await wait_for_posts(network, 1)
        await server.service.delete(job.id)
    [(url, body, headers)] = network.posted
    assert url == HOOK
    message = json.loads(body)
    assert (message["type"], message["job"]["id"]) == ("job.completed", job.id)
    assert message["job"]["text"] == "w1"
    expected = sign_headers(parse_secret(SECRET), headers["webhook-id"], 1_000_000, body)
    assert headers == expected


async def test_a_cancelled_job_sends_a_webhook_and_a_deleted_one_does_not(tmp_path: Path) -> None:
    """A cancelled job has ended and has a webhook; a deleted one has none."""
    network, backend = Network(), GatedBackend()
    async with run_job_server(tmp_path, backend, network=network) as server:
        first = await server.service.submit(
            job_request(webhook=HOOK), uploaded_files(spoken_wav(1))
        )
        second = await server.service.submit(
            job_request(webhook=HOOK), uploaded_files(spoken_wav(1))
        )
        await server.service.delete(first.id)
        await server.service.cancel(second.id)
        await wait_for_posts(network, 1)
        backend.gate.set()
    [(_, body, _)] = network.posted
    message = json.loads(body)
    assert (message["type"], message["job"]["id"]) == ("job.cancelled", second.id)


async def wait_for_posts(network: Network, times: int) -> None:
    """Wait until this many webhooks are sent."""
    with anyio.fail_after(TIMEOUT_S):
        while len(network.posted) < times:
            await anyio.lowlevel.checkpoint()
