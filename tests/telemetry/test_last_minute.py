import pytest

from whisperlive_hybrid.telemetry.engine_metrics import LastMinute


def test_the_factor_is_model_time_per_second_of_audio() -> None:
    """Below 1 a model is faster than speech."""
    minute = LastMinute()
    minute.add(1.0, busy_s=0.5)
    minute.add(1.2, busy_s=0.5, audio_s=4.0)
    assert minute.factor(2.0) == pytest.approx(0.25)


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    """Without audio there is no factor, and none is made up."""
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
