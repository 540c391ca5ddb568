"""Traces by OpenTelemetry: an extra of the package, imported only where it is switched on.

Nothing is registered globally: the provider belongs to one server and ends with it.
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
from whisperlive_hybrid.engine.observer import Asked, Mark, ModelCall
from whisperlive_hybrid.errors import error_kind
from whisperlive_hybrid.telemetry.tracing import NONE, Tracing, Values

_SERVICE = "whisperlive-hybrid-server"


def provider() -> TracerProvider:
    """A provider as the OTEL_* variables want it, without an exporter."""
    resource = Resource.create()  # reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _SERVICE}))
    resource = resource.merge(Resource({SERVICE_VERSION: __version__}))
    return TracerProvider(resource=resource, shutdown_on_exit=False)


def tracing_of(spans: TracerProvider) -> Tracing:
    """The tracer of the doors and the observer of the engine."""
    tracer = spans.get_tracer(_SERVICE, __version__)
    return Tracing(OtelTracer(tracer), (EngineSpans(tracer),))


class _OtelSpan:
    """A span that is being recorded, or not."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def note(self, values: Values) -> None:
        """Say more about it."""
        self._span.set_attributes(values)


class OtelTracer:
    """The spans of the doors."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def joined(self, headers: Mapping[str, str]) -> Iterator[None]:
        """Go on with the trace of `traceparent`; one that is malformed is as if it were not."""
        token = otel_context.attach(self._propagator.extract(headers))
        try:
            yield
        finally:
            otel_context.detach(token)

    @contextmanager
    def span(self, name: str, values: Values = NONE) -> Iterator[_OtelSpan]:
        """A span that lasts while inside; of an exception only its kind is told."""
        with self._tracer.start_as_current_span(
            name,
            kind=SpanKind.SERVER,
            attributes=values,
            record_exception=False,  # messages may quote a client, and stacks are in the log
            set_status_on_exception=False,
        ) as span:
            try:
                yield _OtelSpan(span)
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, error_kind(error)))
                raise


class EngineSpans:
    """An `Observer` that makes spans: a window, its waits, and the calls that it shared.

    A call is a child of the first of its windows and has links to all of them; the wait of each
    window has a link to its call.
    """

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def asked(self, asked: Asked) -> Mark:
        """Begin the span of a window, inside of whatever its caller is in."""
        return self._tracer.start_span(
            "engine window",
            attributes={
                "whisperlive.model": asked.model,
                "whisperlive.urgency": asked.urgency.name.lower(),
                "whisperlive.audio.seconds": asked.audio_s,
            },
        )

    def called(self, call: ModelCall) -> None:
        """Add the call, and how long each of its windows had waited for it."""
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

    def answered(self, asked: Asked, mark: Mark, answer: object) -> None:
        """End the span of a window."""
        del asked
        span: Span = mark
        if isinstance(answer, Exception):
            span.set_status(Status(StatusCode.ERROR, error_kind(answer)))
        elif isinstance(answer, BaseException):
            span.set_attribute("whisperlive.withdrawn", value=True)
        span.end()


def _unix_ns(moment: float) -> int:
    """A moment of the monotonic clock on that of OpenTelemetry."""
    return time.time_ns() - round((time.monotonic() - moment) * 1e9)
