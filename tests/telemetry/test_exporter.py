import sys

import pytest

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.telemetry.exporter import open_tracing
from whisperlive_hybrid.telemetry.tracing import NO_TRACER

pytestmark = pytest.mark.anyio


async def test_without_the_setting_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """And OpenTelemetry's SDK is not needed."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    async with open_tracing(enabled=False) as tracing:
        assert tracing.tracer is NO_TRACER
        assert tracing.observers == ()


async def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not start; the message names the package to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(BadRequest, match=r"install whisperlive-hybrid-server\[otel\]") as refusal:
        async with open_tracing(enabled=True):
            pytest.fail("it opened")
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "jaeger"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ],
)
async def test_what_would_be_ignored_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """An unsupported exporter is an error at the start."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadRequest, match=f"{variable}='{value}'"):
        async with open_tracing(enabled=True):
            pytest.fail("it opened")
