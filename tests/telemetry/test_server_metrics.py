import pytest
from metrics_scrape import scrape

from whisperlive_hybrid.errors import (
    BackendFailed,
    BadAudio,
    Draining,
    Overloaded,
    Stalled,
    TooLarge,
)
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.telemetry.server_metrics import CompletedRequest, Endpoint


@pytest.mark.parametrize(
    ("error", "name", "labels"),
    [
        (Overloaded("no", retry_after_s=1), "refused", {"reason": "overloaded"}),
        (Draining("no", retry_after_s=1), "refused", {"reason": "draining"}),
        (TooLarge("no"), "refused", {"reason": "too_large"}),
        (Stalled("no"), "refused", {"reason": "stalled"}),
        (BadAudio("no"), "errors", {"kind": "bad_audio"}),
        (BackendFailed("no"), "errors", {"kind": "backend_failed"}),
        (ZeroDivisionError("no"), "errors", {"kind": "defect"}),
    ],
)
def test_what_came_to_nothing_is_a_refusal_or_an_error(
    error: Exception, name: str, labels: dict[str, str]
) -> None:
    """Never both, and by kinds that no client can invent."""
    metrics = Metrics()
    metrics.server.count_failure(Endpoint.HTTP, error)
    seen = scrape(metrics)
    assert seen.total(f"whisperlive_{name}_total", door="http", **labels) == 1
    both = seen.total("whisperlive_refused_total") + seen.total("whisperlive_errors_total")
    assert both == 1


def test_audio_is_counted_by_endpoint_and_all_series_exist_from_the_start() -> None:
    """A rate over a series that appears later is wrong."""
    metrics = Metrics()
    name = "whisperlive_audio_seconds_total"
    assert {each["door"] for each in scrape(metrics).labels(name)} == {"live", "http", "jobs"}
    metrics.server.count_audio(Endpoint.LIVE, 1.5)
    assert scrape(metrics).total(name, door="live") == 1.5
    assert scrape(metrics).total(name) == 1.5


def test_what_is_dropped_can_be_counted() -> None:
    """The series exists from the start."""
    metrics = Metrics()
    assert scrape(metrics).labels("whisperlive_dropped_audio_gaps_total") == [{}]
    metrics.server.live.count_gap(2.5)
    assert scrape(metrics).total("whisperlive_dropped_audio_gaps_total") == 1
    assert scrape(metrics).total("whisperlive_dropped_audio_seconds_total") == 2.5


def test_requests_and_streams_are_counted_by_how_they_ended() -> None:
    """Each once."""
    metrics = Metrics()
    metrics.server.count_request(CompletedRequest("GET", "/v1/jobs/{job_id}", 404, 0.2))
    metrics.server.live.count_end("client_left")
    metrics.server.live.observe_latency(0.6)
    seen = scrape(metrics)
    assert seen.total("whisperlive_http_requests_total", status="404", method="GET") == 1
    of_route = {"route": "/v1/jobs/{job_id}"}
    assert seen.total("whisperlive_http_request_duration_seconds_count", **of_route) == 1
    assert seen.total("whisperlive_live_streams_total", end="client_left") == 1
    assert seen.total("whisperlive_final_latency_seconds_bucket", le="0.5") == 0
    assert seen.total("whisperlive_final_latency_seconds_bucket", le="0.75") == 1


def test_a_connection_too_many_is_a_rejection_of_no_endpoint() -> None:
    """It was closed before it sent a request."""
    metrics = Metrics()
    metrics.server.count_refused_connection()
    (labels,) = scrape(metrics).labels("whisperlive_refused_total")
    assert labels == {"door": "any", "reason": "too_many_connections"}
