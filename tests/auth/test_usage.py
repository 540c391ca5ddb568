"""UTC days, and sums of usage."""

from datetime import date

import pytest

from whisperlive_hybrid.auth.usage import (
    DailyUsage,
    DayUsage,
    Usage,
    first_day,
    seconds_until_midnight,
    utc_day,
)

LAST_SECOND = 1_764_115_199.0
"""2025-11-25 23:59:59 UTC."""
MIDNIGHT = LAST_SECOND + 1
TODAY, TOMORROW = date(2025, 11, 25), date(2025, 11, 26)


def test_a_day_is_utcs() -> None:
    """Independent of the server's time zone, and to the second."""
    assert utc_day(LAST_SECOND) == date(2025, 11, 25)
    assert utc_day(LAST_SECOND + 1) == date(2025, 11, 26)
    assert seconds_until_midnight(LAST_SECOND - 0.5) == 1.5
    assert seconds_until_midnight(LAST_SECOND + 1) == 86_400


@pytest.mark.parametrize(
    ("days", "first"),
    [(1, date(2025, 11, 25)), (30, date(2025, 10, 27)), (10**9, date.min)],
)
def test_days_reach_back_with_today(days: int, first: date) -> None:
    """One day is today; the range ends at year 1."""
    assert first_day(days, LAST_SECOND) == first


def test_audio_of_files_and_live_streams_is_one_sum() -> None:
    """The limit applies to files and live streams together."""
    daily = DailyUsage()
    daily.add("key:7f", Usage(file_s=10.0), LAST_SECOND)
    daily.add("key:7f", Usage(live_s=2.5), LAST_SECOND)
    daily.add("key:8a", Usage(live_s=4.0), LAST_SECOND)
    assert daily.audio_s("key:7f", LAST_SECOND) == 12.5


def test_at_midnight_utc_the_day_begins_at_nothing() -> None:
    """The last second counts for the old day, midnight itself for the new one."""
    daily = DailyUsage()
    daily.add("key:7f", Usage(file_s=10.0), LAST_SECOND)
    assert daily.audio_s("key:7f", LAST_SECOND) == 10.0
    assert daily.audio_s("key:7f", MIDNIGHT) == 0.0
    daily.add("key:7f", Usage(file_s=1.0), MIDNIGHT)
    assert daily.take_unsaved() == [
        DayUsage(TODAY, "key:7f", Usage(file_s=10.0)),
        DayUsage(TOMORROW, "key:7f", Usage(file_s=1.0)),
    ]


def test_a_clock_that_is_set_back_over_midnight_gives_no_second_day() -> None:
    """Usage of the new day is kept."""
    daily = DailyUsage()
    daily.add("key:7f", Usage(file_s=1.0), MIDNIGHT)
    assert daily.audio_s("key:7f", LAST_SECOND) == 1.0


def test_a_day_goes_on_after_a_restart() -> None:
    """Stored usage of today counts, that of other days does not."""
    daily = DailyUsage()
    daily.restore(
        [
            DayUsage(TODAY, "key:7f", Usage(file_s=10.0, live_s=5.0)),
            DayUsage(TOMORROW, "key:7f", Usage(file_s=99.0)),
        ],
        LAST_SECOND,
    )
    daily.add("key:7f", Usage(file_s=1.0), LAST_SECOND)
    assert daily.audio_s("key:7f", LAST_SECOND) == 16.0
    assert daily.take_unsaved() == [DayUsage(TODAY, "key:7f", Usage(file_s=1.0))]


def test_addresses_are_counted_and_not_kept() -> None:
    """Each address has its own limit, and the store gets one anonymous sum."""
    daily = DailyUsage()
    daily.add("address:192.0.2.1", Usage(file_s=1.0), MIDNIGHT)
    daily.add("address:192.0.2.2", Usage(file_s=2.0), MIDNIGHT)
    assert daily.audio_s("address:192.0.2.1", MIDNIGHT) == 1.0
    assert daily.take_unsaved() == [DayUsage(TOMORROW, "anonymous", Usage(file_s=3.0))]


def test_the_anonymous_sum_counts_for_no_account_after_a_restart() -> None:
    """Otherwise a caller of that name would start with the usage of all."""
    daily = DailyUsage()
    daily.restore([DayUsage(TOMORROW, "anonymous", Usage(file_s=99.0))], MIDNIGHT)
    assert daily.audio_s("anonymous", MIDNIGHT) == 0.0


def test_what_could_not_be_stored_is_not_lost() -> None:
    """It is added to the usage since then."""
    daily = DailyUsage()
    daily.add("key:7f", Usage(requests=1), MIDNIGHT)
    rows = daily.take_unsaved()
    assert daily.take_unsaved() == []
    daily.add("key:7f", Usage(requests=1, refused=2), MIDNIGHT)
    daily.put_back(rows)
    assert daily.take_unsaved() == [DayUsage(TOMORROW, "key:7f", Usage(requests=2, refused=2))]


def test_memory_is_bounded() -> None:
    """The least recently used account is dropped."""
    daily = DailyUsage(max_accounts=10)
    for n in range(100):
        daily.add(f"address:{n}", Usage(file_s=1.0), MIDNIGHT)
    assert len(daily) == 10
    assert daily.audio_s("address:99", MIDNIGHT) == 1.0


def test_refusals_take_no_memory_of_their_own() -> None:
    """Rejections of many addresses are one number."""
    daily = DailyUsage()
    for n in range(100):
        daily.add(f"address:{n}", Usage(refused=1), MIDNIGHT)
    assert len(daily) == 0
    assert daily.take_unsaved() == [DayUsage(TOMORROW, "anonymous", Usage(refused=100))]
