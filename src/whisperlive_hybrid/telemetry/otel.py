"""Traces with OpenTelemetry, an extra of the package; imported only if tracing is enabled.

Nothing is registered globally: the provider belongs to one server and is shut down with it.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from whisperlive_hybrid import __version__
from whisperlive_hybrid.engine.observer import Mark, ModelCall, WindowRequest
from whisperlive_hybrid.errors import error_kind
from whisperlive_hybrid.telemetry.tracing import NO_ATTRIBUTES, Attributes, Tracing

_SERVICE = "whisperlive-hybrid-server"


def create_provider() -> TracerProvider:
    """Create a provider from the OTEL_* variables, without an exporter."""
    resource = Resource.create()  # reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
    # The SDK's default, if the operator sets no name.
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _SERVICE}))
    resource = resource.merge(Resource({SERVICE_VERSION: __version__}))
    # The server shuts it down itself, with a timeout.
    return TracerProvider(resource=resource, shutdown_on_exit=False)


def create_tracing(provider: TracerProvider) -> Tracing:
    """Create the tracer of the servers and the observer of the engine."""
    tracer = provider.get_tracer(_SERVICE, __version__)
    return Tracing(OtelTracer(tracer), (EngineSpans(tracer),))


class _OtelSpan:
    def __init__(self, span: Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        """Change the name."""
        self._span.update_name(name)

    def set_attributes(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)


class OtelTracer:
    """The spans of the servers."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def join(self, headers: Mapping[str, str]) -> Iterator[None]:
        """Continue the trace of `traceparent` while inside; a malformed header is ignored."""
        token = otel_context.attach(self._propagator.extract(headers))
        try:
            yield
        finally:
            otel_context.detach(token)

    @contextmanager
    def span(self, name: str, attributes: Attributes = NO_ATTRIBUTES) -> Iterator[_OtelSpan]:
        """Open a span while inside; of an exception, only the kind is recorded."""
        with self._tracer.start_as_current_span(
            name,
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,  # messages may quote a client, and stack traces are in the log
            set_status_on_exception=False,
        ) as span:
            try:
                yield _OtelSpan(span)
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, error_kind(error)))
                raise


class EngineSpans:
    """An `Observer` that makes spans of windows, their waits, and the model calls they share.

    A span has one parent, but a call has several windows: it is the child of the first window and
    has links to all of them; the wait of each window has a link to its call.
    """

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def on_request(self, request: WindowRequest) -> Mark:
        """Start the span of a window, as a child of the caller's current span."""
        return self._tracer.start_span(
            "engine window",
            attributes={
                "whisperlive.model": request.model,
                "whisperlive.urgency": request.urgency.name.lower(),
                "whisperlive.audio.seconds": request.audio_s,
            },
        )

    def on_call(self, call: ModelCall) -> None:
        """Add the span of a model call, and the waits of its windows before it."""
        # A caller that is not sampled has no span to link to.
        traced = [part for part in call.parts if part.mark.is_recording()]
        if not traced:
            return
        began, ended = _unix_ns(call.began), _unix_ns(call.ended)
        batch = self._tracer.start_span(
            f"model {call.kind}",
            context=trace.set_span_in_context(traced[0].mark),
            links=[Link(part.mark.get_span_context()) for part in traced],
            attributes={"whisperlive.model": call.model, "whisperlive.batch": len(call.parts)},
            start_time=began,
        )
        batch.end(ended)
        for part in traced:
            self._tracer.start_span(
                "engine wait",
                context=trace.set_span_in_context(part.mark),
                links=[Link(batch.get_span_context())],
                start_time=_unix_ns(part.queued_at),
            ).end(began)

    def on_answer(self, request: WindowRequest, mark: Mark, answer: object) -> None:
        """End the span of a window."""
        del request
        span: Span = mark
        if isinstance(answer, Exception):
            span.set_status(Status(StatusCode.ERROR, error_kind(answer)))
        elif isinstance(answer, BaseException):
            span.set_attribute("whisperlive.withdrawn", value=True)
        span.end()


def _unix_ns(moment: float) -> int:
    """Convert a time of the monotonic clock to Unix nanoseconds, as OpenTelemetry uses."""
    return time.time_ns() - round((time.monotonic() - moment) * 1e9)
