from whisperlive_hybrid.live.latency import MOST_MARKS, SPACING, ArrivalTimes


def test_a_sample_has_come_with_the_frame_that_holds_it() -> None:
    """A moment is that at which all samples before the one asked for were there."""
    arrivals = ArrivalTimes()
    arrivals.add(4000, 1.0)
    arrivals.add(8000, 2.0)
    assert arrivals.of(1) == 1.0
    assert arrivals.of(4000) == 1.0
    assert arrivals.of(4001) == 2.0
    assert arrivals.of(8001) is None


def test_memory_is_bounded_and_what_is_forgotten_is_not_made_up() -> None:
    """Small frames are not all remembered, nor is the beginning of an hour."""
    arrivals = ArrivalTimes()
    for frame in range(1, 100_001):
        arrivals.add(frame * 160, float(frame))
    assert len(arrivals._ends) == MOST_MARKS
    assert arrivals.of(160) is None
    came = arrivals.of(99_000 * 160)
    assert came is not None
    assert 0 <= came - 99_000 <= SPACING / 160
