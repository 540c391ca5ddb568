"""Spans from the servers to the model calls, read from the SDK's in-memory exporter."""

from collections.abc import Callable, Iterator, Sequence

import anyio
import anyio.to_thread
import pytest
from gated_backend import TIMEOUT_S, GatedBackend
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from whisperlive_hybrid import __version__
from whisperlive_hybrid.backends.fake import FakeBackend, Trouble, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.engine.observer import Observers
from whisperlive_hybrid.errors import BackendFailed
from whisperlive_hybrid.telemetry import otel
from whisperlive_hybrid.telemetry.tracing import Tracing
from whisperlive_hybrid.types import DecodeOptions, Urgency, Window, WindowSpan

pytestmark = pytest.mark.anyio

ENGLISH = DecodeOptions(language="en")
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"


class Recorded:
    """A tracing and the spans that it has ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = otel.create_provider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing: Tracing = otel.create_tracing(provider)
        self.close: Callable[[], None] = provider.shutdown

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """All spans, in the order of their ends."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans of a name."""
        return [span for span in self.spans if span.name == name]

    def engine(self, backend: FakeBackend | GatedBackend | None = None) -> Engine:
        """Return an engine that is traced."""
        return Engine(backend or FakeBackend(), observer=Observers(self.tracing.observers))


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Spans in memory."""
    recorded = Recorded()
    yield recorded
    recorded.close()


def window(*words: int) -> Window:
    """A window in which these words are spoken."""
    samples = speak(words)
    return Window(samples, (WindowSpan(0, 0, len(samples)),))


def span_id(span: ReadableSpan) -> int:
    """The id of a span."""
    assert span.context is not None
    own: int = span.context.span_id
    return own


def parent_id(span: ReadableSpan) -> int | None:
    """The id of its parent."""
    return span.parent.span_id if span.parent else None


async def test_a_request_holds_its_windows_and_they_their_waits_and_calls(
    recorded: Recorded,
) -> None:
    """Request, window, wait and call are one tree, also across tasks and threads."""
    async with recorded.engine() as engine:
        with recorded.tracing.tracer.span("request"):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(engine.decode, window(1), ENGLISH)
    (request,) = recorded.named("request")
    (read,) = recorded.named("engine window")
    assert parent_id(read) == span_id(request)
    assert read.attributes is not None
    assert read.attributes["whisperlive.urgency"] == "short_file"
    waits = recorded.named("engine wait")
    calls = [*recorded.named("model encode"), *recorded.named("model generate")]
    assert (len(waits), len(calls)) == (2, 2)
    assert {parent_id(each) for each in (*waits, *calls)} == {span_id(read)}
    for each in (*waits, *calls):
        assert (read.start_time or 0) - 10**6 <= (each.start_time or 0) <= (each.end_time or 0)
        assert (each.end_time or 0) <= (read.end_time or 0) + 10**6


async def test_a_shared_call_has_links_to_all_its_windows(recorded: Recorded) -> None:
    """Each of their waits links back to it, so that every trace leads to the call."""
    backend = GatedBackend()
    async with recorded.engine(backend) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(engine.decode, window(9), ENGLISH, Urgency.FINAL)
        await anyio.to_thread.run_sync(backend.reached.wait, TIMEOUT_S)
        for word in range(8):  # all workers are held, so these gather
            tasks.start_soon(engine.decode, window(word + 1), ENGLISH, Urgency.BULK)
        await anyio.wait_all_tasks_blocked()
        backend.gate.set()
    windows = {span_id(span): span for span in recorded.named("engine window")}
    linked: list[int] = []
    for call in recorded.named("model generate"):
        ids = [link.context.span_id for link in call.links]
        assert call.attributes is not None
        assert call.attributes["whisperlive.batch"] == len(ids)
        assert parent_id(call) in ids
        linked += ids
    assert sorted(linked) == sorted(windows)
    calls = {span_id(span) for span in recorded.spans if span.name.startswith("model ")}
    for wait in recorded.named("engine wait"):
        assert [link.context.span_id in calls for link in wait.links] == [True]


@pytest.mark.parametrize(
    ("traceparent", "is_joined"),
    [(TRACEPARENT, True), ("00-nonsense", False), ("", False), (f"00-{'0' * 32}-1-01", False)],
)
def test_a_trace_of_the_caller_is_continued(
    recorded: Recorded, traceparent: str, *, is_joined: bool
) -> None:
    """W3C's traceparent; a malformed one starts a new trace."""
    tracer = recorded.tracing.tracer
    with tracer.join({"traceparent": traceparent}), tracer.span("request") as span:
        span.rename("GET /x")
        span.set_attributes({"http.route": "/x"})
    (request,) = recorded.named("GET /x")
    assert request.context is not None
    assert (f"{request.context.trace_id:032x}" == TRACE_ID) is is_joined
    assert (parent_id(request) == int(PARENT_ID, 16)) is is_joined
    assert request.attributes == {"http.route": "/x"}


async def test_of_a_failure_only_the_kind_is_recorded(recorded: Recorded) -> None:
    """Messages may quote a client, and stack traces are in the log."""
    async with recorded.engine() as engine:
        with pytest.raises(BackendFailed), recorded.tracing.tracer.span("request"):
            await engine.decode(window(Trouble.ITEM_FAILS), ENGLISH)
    for span in (*recorded.named("request"), *recorded.named("engine window")):
        assert (span.status.status_code, span.status.description) == (
            StatusCode.ERROR,
            "backend_failed",
        )
        assert not span.events


async def test_no_span_stays_open(recorded: Recorded) -> None:
    """Also that of a window whose caller was cancelled."""
    backend = GatedBackend()
    async with recorded.engine(backend) as engine:
        with anyio.move_on_after(0):
            await engine.decode(window(1), ENGLISH)
        backend.gate.set()
    (read,) = recorded.named("engine window")
    assert read.attributes is not None
    assert read.attributes["whisperlive.withdrawn"] is True


def test_the_service_has_a_name_of_its_own_unless_the_operator_gives_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say."""
    attributes = otel.create_provider().resource.attributes
    assert attributes["service.name"] == "whisperlive-hybrid-server"
    assert attributes["service.version"] == __version__
    monkeypatch.setenv("OTEL_SERVICE_NAME", "captions")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    attributes = otel.create_provider().resource.attributes
    assert attributes["service.name"] == "captions"
    assert attributes["deployment.environment"] == "test"
