"""Export of traces by OTLP: set up from OpenTelemetry's variables, flushed at the end."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.to_thread
import structlog

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.telemetry.tracing import Tracing

FLUSH_S: Final = 5.0
"""Timeout of the last export, for a collector that does not answer."""

_SUPPORTED: Final = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
}
"""Variables of which the extra supports one value; others are rejected, not ignored."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_tracing(*, enabled: bool) -> AsyncIterator[Tracing]:
    """Trace while inside, to the collector that the OTEL_* variables name.

    Raises `BadRequest` if the extra is not installed, or for an unsupported exporter.
    """
    if not enabled:
        yield Tracing()
        return
    tracing, shut_down = _create_exporter()
    try:
        yield tracing
    finally:
        with anyio.move_on_after(FLUSH_S, shield=True) as timeout:
            # The thread is abandoned at the timeout: a dead collector must not delay the exit.
            await anyio.to_thread.run_sync(shut_down, abandon_on_cancel=True)
        if timeout.cancelled_caught:
            log.warning("the last traces were not exported", waited_s=FLUSH_S)


def _create_exporter() -> tuple[Tracing, Callable[[], None]]:
    """Return a tracing and the function that ends it, which blocks until all spans are sent."""
    for variable, only in _SUPPORTED.items():
        value = os.environ.get(variable, "").strip() or only
        if value != only:
            raise BadRequest(f"{variable}={value!r} is not supported; it can only be {only!r}.")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 (an extra)
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 (an extra)

        from whisperlive_hybrid.telemetry import otel  # noqa: PLC0415 (needs the extra)
    except ImportError as error:
        raise BadRequest(
            "WHISPERLIVE_OTEL is on, but OpenTelemetry is not installed; "
            "install whisperlive-hybrid-server[otel]."
        ) from error
    provider = otel.create_provider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return otel.create_tracing(provider), provider.shutdown
