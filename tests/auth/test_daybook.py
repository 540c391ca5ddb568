"""The sums of a day, with literal clocks."""

from datetime import date

from whisperlive_hybrid.auth.usage import DailyUsage, DayUsage, Usage

LAST_SECOND = 1_764_115_199.0
"""2025-11-25 23:59:59 UTC."""
MIDNIGHT = LAST_SECOND + 1
TODAY, TOMORROW = date(2025, 11, 25), date(2025, 11, 26)


def test_audio_of_both_doors_is_one_sum() -> None:
    """The limit is on audio, whichever way it came."""
    book = DailyUsage()
    book.add("key:7f", Usage(file_s=10.0), LAST_SECOND)
    book.add("key:7f", Usage(live_s=2.5), LAST_SECOND)
    book.add("key:8a", Usage(live_s=4.0), LAST_SECOND)
    assert book.audio_s("key:7f", LAST_SECOND) == 12.5


def test_at_midnight_utc_the_day_begins_at_nothing() -> None:
    """The last second counts for the old day, midnight itself for the new one."""
    book = DailyUsage()
    book.add("key:7f", Usage(file_s=10.0), LAST_SECOND)
    assert book.audio_s("key:7f", LAST_SECOND) == 10.0
    assert book.audio_s("key:7f", MIDNIGHT) == 0.0
    book.add("key:7f", Usage(file_s=1.0), MIDNIGHT)
    assert book.take_unsaved() == [
        DayUsage(TODAY, "key:7f", Usage(file_s=10.0)),
        DayUsage(TOMORROW, "key:7f", Usage(file_s=1.0)),
    ]


def test_a_clock_that_is_set_back_over_midnight_gives_no_second_day() -> None:
    """What was had of the new day stays had."""
    book = DailyUsage()
    book.add("key:7f", Usage(file_s=1.0), MIDNIGHT)
    assert book.audio_s("key:7f", LAST_SECOND) == 1.0


def test_a_day_goes_on_after_a_restart() -> None:
    """What is stored of today counts; what is stored of another day does not."""
    book = DailyUsage()
    book.restore(
        [
            DayUsage(TODAY, "key:7f", Usage(file_s=10.0, live_s=5.0)),
            DayUsage(TOMORROW, "key:7f", Usage(file_s=99.0)),
        ],
        LAST_SECOND,
    )
    book.add("key:7f", Usage(file_s=1.0), LAST_SECOND)
    assert book.audio_s("key:7f", LAST_SECOND) == 16.0
    assert book.take_unsaved() == [DayUsage(TODAY, "key:7f", Usage(file_s=1.0))]


def test_addresses_are_counted_and_not_kept() -> None:
    """Each has its own limit, and the store hears of one sum without a name."""
    book = DailyUsage()
    book.add("address:192.0.2.1", Usage(file_s=1.0), MIDNIGHT)
    book.add("address:192.0.2.2", Usage(file_s=2.0), MIDNIGHT)
    assert book.audio_s("address:192.0.2.1", MIDNIGHT) == 1.0
    assert book.take_unsaved() == [DayUsage(TOMORROW, "anonymous", Usage(file_s=3.0))]


def test_the_sum_of_all_without_a_key_is_nobodys_after_a_restart() -> None:
    """A caller that happened to be called so would else begin with the usage of all."""
    book = DailyUsage()
    book.restore([DayUsage(TOMORROW, "anonymous", Usage(file_s=99.0))], MIDNIGHT)
    assert book.audio_s("anonymous", MIDNIGHT) == 0.0


def test_what_could_not_be_stored_is_not_lost() -> None:
    """It is added to whatever came meanwhile."""
    book = DailyUsage()
    book.add("key:7f", Usage(requests=1), MIDNIGHT)
    rows = book.take_unsaved()
    assert book.take_unsaved() == []
    book.add("key:7f", Usage(requests=1, refused=2), MIDNIGHT)
    book.put_back(rows)
    assert book.take_unsaved() == [DayUsage(TOMORROW, "key:7f", Usage(requests=2, refused=2))]


def test_memory_is_bounded() -> None:
    """Whoever was not seen for longest begins anew."""
    book = DailyUsage(max_accounts=10)
    for n in range(100):
        book.add(f"address:{n}", Usage(file_s=1.0), MIDNIGHT)
    assert len(book) == 10
    assert book.audio_s("address:99", MIDNIGHT) == 1.0


def test_refusals_take_no_memory_of_their_own() -> None:
    """A flood from many addresses is one number."""
    book = DailyUsage()
    for n in range(100):
        book.add(f"address:{n}", Usage(refused=1), MIDNIGHT)
    assert len(book) == 0
    assert book.take_unsaved() == [DayUsage(TOMORROW, "anonymous", Usage(refused=100))]
