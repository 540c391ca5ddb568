import asyncio
from collections.abc import Callable

import anyio
import pytest
import structlog
from live_clients import OpenLiveServer, open_live_server
from metrics_scrape import Scrape, scrape
from structlog.testing import capture_logs

from whisperlive_hybrid.backends.fake import Trouble, pause, speak
from whisperlive_hybrid.server.live.report import StreamReport
from whisperlive_hybrid.server.live.transport import ClientLeft
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.telemetry.tracing import NO_TRACER
from whisperlive_hybrid.types import SAMPLE_RATE

pytestmark = pytest.mark.anyio

SAID = (speak([100, 200]), pause(1.2), speak([300]))
AUDIO_S = sum(len(piece) for piece in SAID) / SAMPLE_RATE


def _ids(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return structlog.contextvars.merge_contextvars(None, "", line)


def seen(door: OpenLiveServer) -> Scrape:
    """What the door has counted."""
    return scrape(door.metrics)


async def test_a_stream_ends_in_one_line_and_one_count() -> None:
    """How much audio came, how many segments went, and why it ended; never a word of it."""
    with capture_logs() as logs:
        async with open_live_server() as door:
            client = await door.transcribe(*SAID)
            await door.wait_until_disconnected()
    (line,) = [each for each in logs if each["event"] == "stream ended"]
    assert (line["end"], line["gaps"]) == ("end_of_audio", 0)
    assert line["audio_s"] == pytest.approx(AUDIO_S, abs=0.001)
    assert line["segments"] == len(client.completed)
    assert "w100" not in str(logs)
    counted = seen(door)
    assert counted.total("whisperlive_audio_seconds_total", door="live") == pytest.approx(AUDIO_S)
    assert counted.total("whisperlive_live_streams_total") == 1
    assert counted.total("whisperlive_live_streams_total", end="end_of_audio") == 1
    assert counted.total("whisperlive_final_latency_seconds_count") == 2


async def test_every_line_of_a_stream_has_its_id_and_its_caller() -> None:
    """So that the lines of one stream can be told from those of another, and whose it is."""
    with capture_logs(processors=[_ids]) as logs:
        async with open_live_server() as door, anyio.create_task_group() as tasks:
            tasks.start_soon(door.transcribe, speak([1]))
            tasks.start_soon(door.transcribe, speak([2]))
    ended = [line["session_id"] for line in logs if line["event"] == "stream ended"]
    assert len(set(ended)) == 2
    for session_id in ended:
        events = [line["event"] for line in logs if line["session_id"] == session_id]
        assert events == ["client admitted", "stream ended"]
        assert session_id.startswith("live_")
    assert {line["caller"] for line in logs if "session_id" in line} == {"address:127.0.0.1"}


async def test_audio_on_which_the_model_fails_is_counted() -> None:
    """What should be 0 is not always."""
    with capture_logs() as logs:
        async with open_live_server() as door:
            await door.transcribe(speak([1]), pause(1.2), speak([Trouble.ITEM_FAILS]))
            await door.wait_until_disconnected()
    counted = seen(door)
    assert counted.total("whisperlive_dropped_audio_gaps_total") == 1
    assert counted.total("whisperlive_dropped_audio_seconds_total") > 0
    assert [line["gaps"] for line in logs if line["event"] == "stream ended"] == [1]


async def test_refused_clients_are_counted_by_reason() -> None:
    """Full, late or draining; a handshake that is none is an error of the client's."""
    async with open_live_server(max_clients=1) as door:
        async with door.admitted(), door.client() as second:
            await second.greet()
            await second.rest()
        async with door.client() as broken:
            await broken.socket.send("hello")
            await broken.rest()
        await door.wait_until_disconnected()
    counted = seen(door)
    assert counted.total("whisperlive_refused_total", door="live", reason="full") == 1
    assert counted.total("whisperlive_refused_total") == 1
    assert counted.total("whisperlive_errors_total", door="live", kind="bad_handshake") == 1
    assert counted.total("whisperlive_live_streams_total") == 1


@pytest.mark.parametrize(
    ("leave", "end"),
    [
        (lambda: None, "end_of_audio"),
        (lambda: _raise(ClientLeft()), "client_left"),
        (lambda: _raise(ExceptionGroup("", [ClientLeft()])), "client_left"),
        (lambda: _raise(ExceptionGroup("", [ZeroDivisionError()])), "defect"),
        (
            lambda: _raise(BaseExceptionGroup("", [ClientLeft(), ZeroDivisionError()])),
            "defect",
        ),
        (lambda: _raise(asyncio.CancelledError()), "stopped"),
    ],
)
def test_why_a_stream_ended_is_known_whatever_ended_it(leave: Callable[[], None], end: str) -> None:
    """A defect is never taken for a client that left."""
    metrics = Metrics()
    try:
        with StreamReport(metrics.server, NO_TRACER, "live_1"):
            leave()
    except BaseException:  # noqa: BLE001 (raised above)
        assert end != "end_of_audio"
    assert scrape(metrics).labels("whisperlive_live_streams_total") == [{"end": end}]


def _raise(error: BaseException) -> None:
    raise error
