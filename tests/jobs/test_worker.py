"""Usage of jobs counts for their submitter, every second once."""

from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from gated_backend import TIMEOUT_S, GatedBackend
from job_fixtures import CALLER, Clock, job_request, run_job_server, spoken_wav, uploaded_files

from whisperlive_hybrid.auth.usage import Usage
from whisperlive_hybrid.backends.fake import FakeBackend
from whisperlive_hybrid.jobs.model import Status
from whisperlive_hybrid.types import Language

pytestmark = pytest.mark.anyio

WORD_S = 1.36
"""A second of silence, and a word."""
N_WORDS = 20
TALK = spoken_wav(*range(1, N_WORDS + 1))
NOW = Clock().now


async def test_a_job_counts_for_its_submitter(tmp_path: Path) -> None:
    """All its files, as far as they could be decoded."""
    async with run_job_server(tmp_path) as server:
        job = await server.service.submit(
            job_request(), uploaded_files(TALK, b"no audio", spoken_wav(1))
        )
        await server.wait_for_end(job)
        had = server.quotas.usage.audio_s(CALLER.account, NOW)
    assert had == pytest.approx((N_WORDS + 1) * WORD_S)


@pytest.mark.parametrize("language", ["en", None])
@pytest.mark.parametrize("stop_at", range(0, 27, 5))
async def test_a_resumed_job_is_counted_once(
    tmp_path: Path, language: str | None, stop_at: int
) -> None:
    """An earlier process counted what it decoded; together it is the length of the file."""
    had = 0.0
    async with run_job_server(tmp_path, FakeBackend(language=Language("en", 0.4))) as server:
        job = await server.service.submit(job_request(language=language), uploaded_files(TALK))
        async with server.service.watch(job.id) as watch:
            while (
                (update := await watch.next()) and update.job.done < stop_at and not update.is_last
            ):
                pass
        first = server.quotas.usage
    had += first.audio_s(CALLER.account, NOW)
    async with run_job_server(tmp_path, FakeBackend(language=Language("en", 0.4))) as server:
        await server.wait_for_end(job)
        had += server.quotas.usage.audio_s(CALLER.account, NOW)
    assert had == pytest.approx(N_WORDS * WORD_S)


async def test_files_after_the_daily_limit_are_not_started(tmp_path: Path) -> None:
    """The file that exceeds the limit is completed; the others fail with a time to retry."""
    async with run_job_server(tmp_path, settings={"audio_s_per_day": 1}) as server:
        job = await server.service.submit(
            job_request(), uploaded_files(spoken_wav(1, 2), spoken_wav(3), spoken_wav(4))
        )
        ended = await server.wait_for_end(job)
        statuses = [source.status for source in ended.sources]
        assert statuses == [Status.COMPLETED, Status.FAILED, Status.FAILED]
        failure = ended.sources[1].failure
        assert failure is not None
        assert (failure.type, failure.code) == ("requests", "rate_limit_exceeded")
        assert "1 seconds of audio per day" in failure.message
        assert ended.text == "w1 w2"


async def test_a_file_that_had_begun_is_read_to_its_end(tmp_path: Path) -> None:
    """Also if its submitter's quota was used up between two starts of the server."""
    backend = GatedBackend()
    async with run_job_server(tmp_path, backend) as server:
        job = await server.service.submit(job_request(), uploaded_files(TALK, spoken_wav(1)))
        assert await anyio.to_thread.run_sync(backend.reached.wait, TIMEOUT_S)
        server.close()
        backend.gate.set()
    async with run_job_server(tmp_path, settings={"audio_s_per_day": 1}) as server:
        server.quotas.add(CALLER.account, Usage(live_s=1.0))  # before anything else runs
        statuses = [source.status for source in (await server.wait_for_end(job)).sources]
        assert statuses == [Status.COMPLETED, Status.FAILED]
