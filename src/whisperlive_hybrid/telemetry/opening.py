"""Switches traces on where the settings want them, and flushes them at the end."""

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
"""How long the end waits for a collector that does not answer."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_tracing(*, enabled: bool) -> AsyncIterator[Tracing]:
    """Trace while inside, to where the OTEL_* variables say.

    Raises `BadRequest` if the extra is not installed, or for an exporter that it does not bring.
    """
    if not enabled:
        yield Tracing()
        return
    tracing, shut_down = _exporting()
    try:
        yield tracing
    finally:
        with anyio.move_on_after(FLUSH_S, shield=True) as patience:
            await anyio.to_thread.run_sync(shut_down, abandon_on_cancel=True)
        if patience.cancelled_caught:
            log.warning("the last traces were not taken", waited_s=FLUSH_S)


def _exporting() -> tuple[Tracing, Callable[[], None]]:
    """The tracing, and what ends it: blocking, since it sends what is left."""
    _check("OTEL_TRACES_EXPORTER", "otlp")
    for variable in ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        _check(variable, "http/protobuf")
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
    provider = otel.provider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return otel.tracing_of(provider), provider.shutdown


def _check(variable: str, only: str) -> None:
    """Refuse what we would otherwise ignore."""
    written = os.environ.get(variable, "").strip() or only
    if written != only:
        raise BadRequest(f"{variable}={written!r} is not supported; it can only be {only!r}.")
