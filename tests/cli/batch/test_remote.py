"""A batch through the jobs of a server, against a stand-in with real sockets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from fake_jobs_server import TIMEOUT_S, FakeJobsServer, error_reply, run_fake_jobs_server

from whisperlive_hybrid.cli.batch.formats import BatchRequest, OutputFormat, Texts
from whisperlive_hybrid.cli.batch.inputs import BatchItem, plan_items
from whisperlive_hybrid.cli.batch.jobs_client import RetryPolicy, open_client
from whisperlive_hybrid.cli.batch.outputs import OutputDirectory
from whisperlive_hybrid.cli.batch.remote import (
    JOBS_AT_ONCE,
    JobRegistry,
    NoJobRegistry,
    RemoteBatch,
    job_fields,
)
from whisperlive_hybrid.cli.batch.report import Outcome, Progress
from whisperlive_hybrid.errors import ServerUnusable, WhisperLiveError
from whisperlive_hybrid.types import DecodeOptions, Task

pytestmark = pytest.mark.anyio

WISH = BatchRequest(DecodeOptions(language="en"), (OutputFormat.TXT,))


@pytest.fixture
def server() -> Iterator[FakeJobsServer]:
    """A fake server of jobs."""
    with run_fake_jobs_server() as served:
        yield served


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., list[BatchItem]]:
    """Makes recordings of these names, each with its name as its content."""

    def make(*names: str) -> list[BatchItem]:
        for name in names:
            (tmp_path / name).write_text(name)
        return plan_items([str(tmp_path / name) for name in names], takes_urls=False)

    return make


@dataclass
class Collector:
    """Collects progress and outcomes of a batch."""

    progress: list[Progress] = field(default_factory=list)
    outcomes: dict[str, Texts | WhisperLiveError] = field(default_factory=dict)
    is_safe: bool = True

    def take(self, outcome: Outcome) -> bool:
        """Hear an outcome, and say whether its texts are safe."""
        self.outcomes[outcome.item.name] = outcome.result
        return self.is_safe

    def text(self, name: str) -> str:
        """The text of a recording."""
        texts = self.outcomes[name]
        assert isinstance(texts, Texts)
        return texts.by_format[OutputFormat.TXT]


async def run(
    server: FakeJobsServer,
    items: list[BatchItem],
    registry: JobRegistry | None = None,
    *,
    collector: Collector | None = None,
    keeps_jobs: bool = False,
) -> Collector:
    """Have a batch read."""
    collector = collector or Collector()
    retry_policy = RetryPolicy(busy_s=5, attempts=3, pause_s=0.001)
    async with open_client(server.url, None, retry_policy) as client:
        batch = RemoteBatch(
            client, job_fields(WISH, None), WISH, registry or NoJobRegistry(), keeps_jobs=keeps_jobs
        )
        await batch.run(items, collector.progress.append, collector.take)
    return collector


async def test_each_recording_is_a_job_and_is_taken_off_the_server(
    server: FakeJobsServer, write: Callable[..., list[BatchItem]]
) -> None:
    """More of them than may be unfinished at once; the server keeps nothing."""
    items = write(*(f"{n}.mp3" for n in range(2 * JOBS_AT_ONCE)))
    collector = await run(server, items)
    assert {name: collector.text(name) for name in collector.outcomes} == {
        item.name: f"text of {item.name}.mp3\n" for item in items
    }
    assert server.count("POST") == server.count("DELETE") == len(items)
    assert server.jobs == {}
    assert (items[0], 1.0, 2.0) in [
        (update.item, update.done, update.total) for update in collector.progress
    ]


async def test_one_that_fails_is_told_and_the_others_go_on(
    server: FakeJobsServer, write: Callable[..., list[BatchItem]], tmp_path: Path
) -> None:
    """In the server's words: refused at once, failed later, or gone from this disk."""
    server.refusals = [error_reply(413, "Too large.")]
    server.fails = {"b.mp3"}
    collector = await run(server, write("large.mp3"))
    items = write("b.mp3", "gone.mp3", "c.mp3")
    (tmp_path / "gone.mp3").unlink()
    await run(server, items, collector=collector)
    failures = {
        name: result.message
        for name, result in collector.outcomes.items()
        if isinstance(result, WhisperLiveError)
    }
    assert failures == {
        "large": "Too large.",
        "b": "b.mp3 is noise.",
        "gone": "Cannot be read: No such file or directory.",
    }
    assert collector.text("c") == "text of c.mp3\n"
    assert server.jobs == {}


@pytest.mark.parametrize(("cut_streams", "has_events"), [(2, True), (0, False)])
async def test_a_job_is_followed_without_its_stream_of_events(
    server: FakeJobsServer,
    write: Callable[..., list[BatchItem]],
    cut_streams: int,
    has_events: bool,
) -> None:
    """Cut in the middle it is opened again; where a server has none, the job is asked for."""
    server.cut_streams, server.has_events = cut_streams, has_events
    collector = await run(server, write("a.mp3"))
    assert collector.text("a") == "text of a.mp3\n"
    assert server.count("POST") == 1


@pytest.fixture
def out(tmp_path: Path) -> OutputDirectory:
    """A directory that remembers jobs."""
    made = OutputDirectory(tmp_path / "out", WISH.formats, "x")
    made.prepare()
    return made


async def interrupted(
    server: FakeJobsServer, items: list[BatchItem], registry: JobRegistry
) -> None:
    """Run a batch, and stop the command while the first job is watched."""
    server.go_on.clear()
    is_watched = anyio.Event()

    def watch(progress: Progress) -> None:
        if progress.total is not None:  # it is the server's
            is_watched.set()

    collector = Collector()
    async with (
        open_client(server.url, None, RetryPolicy()) as c,
        anyio.create_task_group() as tasks,
    ):
        batch = RemoteBatch(c, job_fields(WISH, None), WISH, registry, keeps_jobs=False)
        tasks.start_soon(batch.run, items, watch, collector.take)
        with anyio.fail_after(TIMEOUT_S):
            await is_watched.wait()
        tasks.cancel_scope.cancel()
    assert collector.outcomes == {}
    server.go_on.set()


async def test_a_job_goes_on_when_its_command_is_stopped(
    server: FakeJobsServer, write: Callable[..., list[BatchItem]], out: OutputDirectory
) -> None:
    """The next command collects its text, and uploads nothing again."""
    items = write("a.mp3")
    await interrupted(server, items, out)
    collector = await run(server, items, out)
    assert collector.text("a") == "text of a.mp3\n"
    assert server.count("POST") == 1
    assert server.jobs == {}
    assert out.find_job(items[0], items[0].source.read_state()) is None


async def test_a_job_that_the_server_has_lost_is_submitted_again(
    server: FakeJobsServer, write: Callable[..., list[BatchItem]], out: OutputDirectory
) -> None:
    """It expired, or was deleted."""
    items = write("a.mp3")
    await interrupted(server, items, out)
    server.jobs.clear()
    assert (await run(server, items, out)).text("a") == "text of a.mp3\n"
    assert server.count("POST") == 2


async def test_a_changed_recording_is_not_taken_for_its_old_job(
    server: FakeJobsServer,
    write: Callable[..., list[BatchItem]],
    out: OutputDirectory,
    tmp_path: Path,
) -> None:
    """What lies on the disk now is what is read."""
    items = write("a.mp3")
    await interrupted(server, items, out)
    (tmp_path / "a.mp3").write_text("another recording")
    assert (await run(server, items, out)).text("a") == "text of another recording\n"


async def test_jobs_that_nobody_finds_again_are_taken_back(
    server: FakeJobsServer, write: Callable[..., list[BatchItem]]
) -> None:
    """A stopped command that prints leaves no work behind."""
    await interrupted(server, write("a.mp3"), NoJobRegistry())
    assert server.jobs == {}


async def test_a_job_whose_text_found_no_place_is_kept(
    server: FakeJobsServer, write: Callable[..., list[BatchItem]], out: OutputDirectory
) -> None:
    """The disk was full: the next command has only to collect it."""
    items = write("a.mp3")
    await run(server, items, out, collector=Collector(is_safe=False))
    assert len(server.jobs) == 1
    await run(server, items, out)
    assert server.count("POST") == 1
    assert server.jobs == {}


async def test_kept_jobs_serve_later_wishes(
    server: FakeJobsServer, write: Callable[..., list[BatchItem]], out: OutputDirectory
) -> None:
    """With --keep-jobs another format needs no upload."""
    items = write("a.mp3")
    await run(server, items, out, keeps_jobs=True)
    await run(server, items, out, keeps_jobs=True)
    assert (len(server.jobs), server.count("POST"), server.count("DELETE")) == (1, 1, 0)


async def test_a_server_that_refuses_everything_ends_the_batch(
    server: FakeJobsServer, write: Callable[..., list[BatchItem]]
) -> None:
    """One error for all, not one for each."""
    server.refusals = [error_reply(401, "No key.")] * 20
    collector = Collector()
    with pytest.raises(ServerUnusable, match="No key"):
        await run(server, write(*(f"{n}.mp3" for n in range(20))), collector=collector)
    assert collector.outcomes == {}
    assert server.count("POST") < 20


def test_only_what_was_given_is_sent() -> None:
    """So that the server's own defaults hold."""
    times = ("timestamp_granularities[]", "segment")
    assert job_fields(BatchRequest(DecodeOptions(), ()), None) == [("task", "transcribe"), times]
    options = DecodeOptions(
        language="de", task=Task.TRANSLATE, prompt="p", hotwords="h", words=True
    )
    assert job_fields(BatchRequest(options, (), audio_track=0), "m") == [
        ("model", "m"),
        ("language", "de"),
        ("prompt", "p"),
        ("hotwords", "h"),
        ("task", "translate"),
        ("audio_track", "0"),
        times,
        ("timestamp_granularities[]", "word"),
    ]
