import math
import re

import pytest
from metrics_scrape import IDLE_STATE, Scrape, scrape
from paths import ROOT
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)

from whisperlive_hybrid.backends.fake import FakeBackend
from whisperlive_hybrid.telemetry.metrics import Metrics, MetricsSnapshot

PAGE = ROOT / "docs" / "observing.md"


def test_two_servers_in_one_process_share_nothing() -> None:
    """The registry belongs to a composition root, not to a module."""
    one, other = Metrics(), Metrics()
    one.server.live.count_gap(1.0)
    assert scrape(other).total("whisperlive_dropped_audio_gaps_total") == 0


def test_names_follow_the_conventions() -> None:
    """One prefix, base units, `_total` on counters and only there."""
    metrics = Metrics()
    metrics.set_build_info("1.2.3", FakeBackend().capabilities)
    ours = [each for each in scrape(metrics).families if each.name.startswith("whisperlive_")]
    assert len(ours) > 20
    for family in ours:
        assert re.fullmatch(r"[a-z_]+", family.name)
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb)(_|$)", family.name)
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")


def test_the_page_names_what_there_is() -> None:
    """Every metric is in docs/observing.md, and every name there is a metric."""
    metrics = Metrics()
    metrics.set_build_info("1.2.3", FakeBackend().capabilities)
    written = re.findall(r"\bwhisperlive_[a-z_]+", PAGE.read_text(encoding="utf-8"))
    named = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in written}
    # The parser cuts `_total` off the names of counters.
    there = {family.name for family in scrape(metrics).families}
    ours = {name for name in there if name.startswith("whisperlive_")}
    assert named == {name for name in ours if not name.endswith("_created")}


def test_build_and_model_are_labels() -> None:
    """The version, the model and its runtime; and the process itself."""
    metrics = Metrics()
    metrics.set_build_info("1.2.3", FakeBackend().capabilities)
    seen = scrape(metrics)
    assert seen.labels("whisperlive_build_info") == [{"version": "1.2.3"}]
    (model,) = seen.labels("whisperlive_model_info")
    assert (model["model"], model["backend"]) == ("fake", "fake")
    assert seen.total("process_open_fds") > 0
    assert seen.total("process_resident_memory_bytes") > 0
    assert seen.total("process_cpu_seconds_total") > 0


def test_the_state_is_that_of_the_scrape() -> None:
    """Gauges are set at a scrape; an unknown factor is NaN."""
    metrics = Metrics()
    factors = {"demo": None, "b": 0.1}
    state = MetricsSnapshot({"bulk": 7}, 0.5, 3, 32, 6, 0.25, 2, {"queued": 4}, factors)
    seen = Scrape(metrics.render(state)[0].decode())
    assert seen.total("whisperlive_queue_depth", urgency="bulk") == 7
    assert seen.total("whisperlive_live_clients") == 3
    assert seen.total("whisperlive_live_clients_limit") == 32
    assert seen.total("whisperlive_live_capacity") == 6
    assert seen.total("whisperlive_live_load") == 0.25
    assert seen.total("whisperlive_uploads") == 2
    assert seen.total("whisperlive_jobs", status="queued") == 4
    assert seen.total("whisperlive_real_time_factor", model="b") == 0.1
    assert math.isnan(seen.total("whisperlive_real_time_factor", model="demo"))


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=nonsense", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=x, text/plain",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
def test_the_format_is_that_of_the_accept_header(accept: str, content_type: str) -> None:
    """An invalid header gets the plain format."""
    body, written = Metrics().render(IDLE_STATE, accept)
    assert written == content_type
    if "openmetrics" in content_type:
        assert list(openmetrics_families(body.decode()))  # type: ignore[no-untyped-call]  # it has no types
    else:
        assert Scrape(body.decode()).families
