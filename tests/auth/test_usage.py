"""Days and sums."""

from datetime import date

import pytest

from whisperlive_hybrid.auth.usage import first_day, seconds_until_midnight, utc_day

LAST_SECOND = 1_764_115_199.0
"""2025-11-25 23:59:59 UTC."""


def test_a_day_is_utcs() -> None:
    """Wherever the server stands, and to the second."""
    assert utc_day(LAST_SECOND) == date(2025, 11, 25)
    assert utc_day(LAST_SECOND + 1) == date(2025, 11, 26)
    assert seconds_until_midnight(LAST_SECOND - 0.5) == 1.5
    assert seconds_until_midnight(LAST_SECOND + 1) == 86_400


@pytest.mark.parametrize(
    ("days", "first"),
    [(1, date(2025, 11, 25)), (30, date(2025, 10, 27)), (10**9, date.min)],
)
def test_days_reach_back_with_today(days: int, first: date) -> None:
    """One is today; more than there are is all there are."""
    assert first_day(days, LAST_SECOND) == first
