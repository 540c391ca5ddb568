import asyncio

import pytest
from metrics_scrape import scrape

from whisperlive_hybrid.engine.observer import ModelCall, Part, WindowRequest
from whisperlive_hybrid.errors import BackendFailed, Draining
from whisperlive_hybrid.telemetry.engine_metrics import EngineMetrics, LastMinute
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.types import DecodeResult, Language, Urgency

ENGLISH = Language("en", 1.0)
FINAL = WindowRequest("demo", Urgency.FINAL, 4.0)


def call_of(*urgencies: Urgency, kind: str = "generate") -> ModelCall:
    """A call of 0.5 s for windows that had waited 0.25 s."""
    parts = tuple(Part(None, urgency, queued_at=9.75) for urgency in urgencies)
    return ModelCall("demo", kind, parts, began=10.0, ended=10.5)


def test_a_call_is_counted_once_and_each_wait_in_its_class() -> None:
    """Batches by kind of call, duration by model, waits by urgency."""
    metrics = Metrics()
    metrics.engine.on_call(call_of(Urgency.FINAL, Urgency.FINAL, Urgency.BULK))
    metrics.engine.on_call(call_of(Urgency.FINAL, kind="encode"))
    seen = scrape(metrics)
    of_call = "whisperlive_model_call_duration_seconds"
    assert seen.total(f"{of_call}_count", model="demo") == 2
    assert seen.total(f"{of_call}_sum", kind="generate") == pytest.approx(0.5)
    assert seen.total("whisperlive_batch_size_sum", kind="generate") == 3
    assert seen.total("whisperlive_batch_size_sum", kind="encode") == 1
    assert seen.total("whisperlive_queue_wait_seconds_count", urgency="final") == 3
    assert seen.total("whisperlive_queue_wait_seconds_sum", urgency="bulk") == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (DecodeResult((), ENGLISH), "read"),
        (DecodeResult((), ENGLISH, was_doubted=True), "read_again"),
        (BackendFailed("no"), "failed"),
        (ValueError("a defect"), "failed"),
        (Draining("no", retry_after_s=1), "refused"),
        (asyncio.CancelledError(), "withdrawn"),
    ],
)
def test_every_window_has_one_outcome(answer: object, outcome: str) -> None:
    """Audio counts only if it was decoded."""
    metrics = Metrics()
    metrics.engine.on_answer(FINAL, None, answer)
    seen = scrape(metrics)
    assert seen.total("whisperlive_windows_total") == 1
    assert seen.total("whisperlive_windows_total", outcome=outcome, urgency="final") == 1
    read = 4.0 if isinstance(answer, DecodeResult) else 0.0
    assert seen.total("whisperlive_window_audio_seconds_total", model="demo") == read


def test_the_real_time_factor_is_by_model() -> None:
    """0.5 s for 4 s of audio; None for a model that decoded nothing."""
    metrics = Metrics()
    engine: EngineMetrics = metrics.engine
    engine.on_call(call_of(Urgency.FINAL))
    engine.on_answer(FINAL, None, DecodeResult((), ENGLISH))
    assert engine.real_time_factors(["demo", "other"]) == {
        "demo": pytest.approx(0.125),
        "other": None,
    }


def test_the_factor_is_model_time_per_second_of_audio() -> None:
    """A model below 1 is faster than real time."""
    minute = LastMinute()
    minute.add(1.0, busy_s=0.5)
    minute.add(1.2, busy_s=0.5, audio_s=4.0)
    assert minute.factor(2.0) == pytest.approx(0.25)


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    """Without audio there is no factor."""
    minute = LastMinute()
    assert minute.factor(0.0) is None
    minute.add(0.0, busy_s=9.0, audio_s=1.0)
    minute.add(30.0, busy_s=1.0, audio_s=1.0)
    assert minute.factor(59.9) == pytest.approx(5.0)
    assert minute.factor(60.0) == pytest.approx(1.0)
    assert minute.factor(90.0) is None
    assert not minute._seconds


def test_memory_is_bounded_by_the_seconds_of_a_minute() -> None:
    """However many calls there are."""
    minute = LastMinute()
    for moment in range(10_000):
        minute.add(moment / 10, busy_s=0.1, audio_s=0.1)
    assert len(minute._seconds) <= 60
