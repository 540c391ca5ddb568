"""How many live streams fit."""

import pytest

from whisperlive_hybrid.engine.capacity import (
    FASTEST_UPDATES_S,
    FRESH_S,
    SILENT_SHARE,
    SLOWEST_UPDATES_S,
    TALKING_SHARE,
    LiveCapacity,
    Room,
    Speech,
)
from whisperlive_hybrid.types import Urgency


def measured(*, update_s: float, final_s_per_s: float, workers: int = 2) -> LiveCapacity:
    """A capacity that knows what work costs, within 0.8 of the workers' time."""
    capacity = LiveCapacity(workers, 0.8)
    capacity.learn(Urgency.UPDATE, update_s, 2.0, 0.0)
    capacity.learn(Urgency.FINAL, 4 * final_s_per_s, 4.0, 0.0)
    return capacity


def base(slower: float = 1.0) -> LiveCapacity:
    """About real whisper-base on two cores: a stream that talks needs 0.62 of one."""
    return measured(update_s=1.2 * slower, final_s_per_s=0.38 * slower)


def admit_all(capacity: LiveCapacity, clients: int, now: float) -> int:
    """Let clients come at once; return how many are admitted."""
    admitted = 0
    for _ in range(clients):
        if capacity.room(now) is Room.YES:
            capacity.open(now)
            admitted += 1
    return admitted


@pytest.mark.parametrize(
    ("slower", "admitted"), [(0.1, 6), (0.5, 5), (1.0, 2), (2.0, 1), (20.0, 1)]
)
def test_as_many_are_admitted_as_can_be_served(slower: float, admitted: int) -> None:
    """Of six who come at once, before any of them has said a word; always the first."""
    assert admit_all(base(slower=slower), 6, 0.0) == admitted


def test_the_bound_counts_the_workers() -> None:
    """Twice the workers serve twice the streams."""
    one, four = (measured(update_s=1.2, final_s_per_s=0.38, workers=n) for n in (1, 4))
    assert (admit_all(one, 9, 0.0), admit_all(four, 9, 0.0)) == (1, 5)


def test_the_first_client_needs_no_measurement() -> None:
    """The second does."""
    capacity = LiveCapacity(2, 0.8)
    assert capacity.room(0.0) is Room.YES
    capacity.open(0.0)
    assert capacity.room(0.0) is Room.UNKNOWN


def test_an_old_measurement_neither_lets_a_crowd_in_nor_keeps_it_out() -> None:
    """Past `FRESH_S` a second client is admitted or refused by a new one only."""
    for slower in (1.0, 5.0):
        capacity = base(slower=slower)
        capacity.open(0.0)
        assert capacity.room(FRESH_S + 1) is Room.UNKNOWN
    capacity.learn(Urgency.UPDATE, 1.2, 2.0, 100.0)
    capacity.learn(Urgency.FINAL, 1.52, 4.0, 100.0)
    assert capacity.room(100.0) is Room.YES


def test_a_new_measurement_outweighs_an_old_one() -> None:
    """After a minute of silence it is all that counts; a moment later it is one of several."""
    capacity = base()
    capacity.learn(Urgency.UPDATE, 6.0, 2.0, 0.0)
    assert capacity.estimate(0.0, 32).update_s == pytest.approx(3.6)
    capacity.learn(Urgency.UPDATE, 2.4, 2.0, 60.0)
    assert capacity.estimate(60.0, 32).update_s == pytest.approx(2.4, rel=0.05)


def test_where_work_is_cheap_nobody_waits_for_a_measurement() -> None:
    """If three times the known cost would do, an old one is good enough."""
    capacity = base(slower=0.1)
    capacity.open(0.0)
    assert capacity.room(1000.0) is Room.YES


def test_a_machine_that_becomes_slow_shows_in_what_is_learned() -> None:
    """Within some seconds, by live work alone."""
    capacity = base()
    capacity.open(0.0)
    assert capacity.room(0.0) is Room.YES
    for second in range(1, 16, 3):
        capacity.learn(Urgency.UPDATE, 3.6, 2.0, second)
        capacity.learn(Urgency.FINAL, 3.6, 3.0, second)
    assert capacity.room(16.0) is Room.NO


def test_silent_streams_make_room() -> None:
    """Two that talk fill the server; after a minute of silence they count a little."""
    capacity = base()
    streams = [capacity.open(0.0), capacity.open(0.0)]
    assert capacity.room(0.0) is Room.NO
    full = capacity.estimate(0.0, 32).load
    capacity.learn(Urgency.UPDATE, 1.2, 2.0, 90.0)
    capacity.learn(Urgency.FINAL, 1.52, 4.0, 90.0)
    assert capacity.room(90.0) is Room.YES
    silent = full * SILENT_SHARE / TALKING_SHARE
    assert capacity.estimate(90.0, 32).load == pytest.approx(silent)
    for stream in streams:
        for second in range(90, 150):
            stream.add(1.0, second)
    capacity.learn(Urgency.UPDATE, 1.2, 2.0, 150.0)
    capacity.learn(Urgency.FINAL, 1.52, 4.0, 150.0)
    assert capacity.room(150.0) is Room.NO


def test_a_stream_that_ends_gives_its_place_back() -> None:
    """At once; the figures stay."""
    capacity = base()
    first, _ = capacity.open(0.0), capacity.open(0.0)
    assert capacity.room(0.0) is Room.NO
    capacity.close(first)
    assert capacity.room(0.0) is Room.YES


def test_speech_is_a_share_of_time() -> None:
    """Whatever the frames; a client that sends faster than it speaks counts as one that speaks."""
    for frame_s in (0.1, 1.0):
        speech = Speech(0.0)
        for n in range(round(120 / frame_s)):
            speech.add(frame_s if n % 2 else 0.0, n * frame_s)
        assert speech.share(120.0) == pytest.approx(0.5, abs=0.03)
    speech.add(3600.0, 120.0)
    assert speech.share(120.0) == 1.0


def test_files_are_no_part_of_it() -> None:
    """They take what live work leaves."""
    capacity = LiveCapacity(2, 0.8)
    capacity.learn(Urgency.BULK, 30.0, 30.0, 0.0)
    capacity.waste(Urgency.SHORT_FILE, 30.0, 0.0)
    capacity.open(0.0)
    assert capacity.room(0.0) is Room.UNKNOWN
    assert capacity.estimate(0.0, 32).load == 0.0


def test_finals_that_were_withdrawn_cost_too() -> None:
    """The audio is read again; an update that is withdrawn is just not made."""
    capacity = base()
    capacity.waste(Urgency.FINAL, 0.8, 0.0)
    capacity.waste(Urgency.UPDATE, 9.9, 0.0)
    seen = capacity.estimate(0.0, 32)
    assert (seen.update_s, seen.final_s_per_s) == pytest.approx((1.2, 0.58))


@pytest.mark.parametrize(
    ("slower", "interval"),
    [
        (0.1, FASTEST_UPDATES_S),
        (1.0, 1.93),
        (1.2, 2.65),
        (3.0, SLOWEST_UPDATES_S),
        (9.0, SLOWEST_UPDATES_S),
    ],
)
def test_updates_leave_finals_their_time(slower: float, interval: float) -> None:
    """Two streams: the most updates where they are cheap, fewer where the bound would be passed."""
    capacity = base(slower=slower)
    capacity.open(0.0)
    capacity.open(0.0)
    assert capacity.update_interval(0.0) == pytest.approx(interval, abs=0.01)
    assert capacity.update_interval(FRESH_S + 1) == FASTEST_UPDATES_S


def test_at_the_interval_the_bound_is_kept() -> None:
    """Finals and updates together take 0.8 of two workers."""
    capacity = base()
    capacity.open(0.0)
    capacity.open(0.0)
    speech = 2 * TALKING_SHARE
    needed = speech * (0.38 + 1.2 / capacity.update_interval(0.0))
    assert needed == pytest.approx(0.8 * 2)


def test_what_is_shown() -> None:
    """Open streams and as many more as fit, at least one, at most as many as may be open."""
    capacity = base()
    one = TALKING_SHARE * (0.38 + 1.2 / SLOWEST_UPDATES_S) / 2
    assert capacity.estimate(0.0, 32).capacity == 2
    capacity.open(0.0)
    shown = capacity.estimate(0.0, 32)
    assert shown.load == pytest.approx(one)
    assert shown.capacity == 2
    assert capacity.estimate(0.0, 1).capacity == 1
    assert base(slower=9.0).estimate(0.0, 32).capacity == 1
    assert LiveCapacity(2).estimate(0.0, 32).capacity == 32  # nothing known against it
