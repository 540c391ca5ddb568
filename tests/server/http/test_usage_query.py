"""The JSON of usage, and the parameter `days`."""

from datetime import date

import pytest

from whisperlive_hybrid.auth.caller import Limits
from whisperlive_hybrid.auth.usage import ANONYMOUS, DayUsage, Usage
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.server.http.usage import parse_days, usage_list

MONDAY = date(2025, 11, 24)


def test_a_day_is_an_object() -> None:
    """Counts, and seconds in one sum and by the way they came; and what the caller may take."""
    taken = Usage(requests=3, refused=1, streams=2, file_s=61.25, live_s=0.1)
    body = usage_list([DayUsage(MONDAY, "key:7f", taken)], {"7f": "captions"}, Limits(60, None, 4))
    assert body == {
        "object": "list",
        "data": [
            {
                "object": "usage",
                "day": "2025-11-24",
                "key": "7f",
                "name": "captions",
                "requests": 3,
                "refused": 1,
                "live_streams": 2,
                "audio_seconds": 61.35,
                "file_seconds": 61.25,
                "live_seconds": 0.1,
            }
        ],
        "limits": {
            "requests_per_minute": 60,
            "audio_seconds_per_day": None,
            "live_streams": 4,
        },
    }


@pytest.mark.parametrize(("account", "key"), [(ANONYMOUS, None), ("key:gone", "gone")])
def test_not_all_have_a_name(account: str, key: str | None) -> None:
    """Anonymous callers have no key, and a key may have been deleted."""
    [body] = usage_list([DayUsage(MONDAY, account, Usage())], {}, Limits())["data"]  # type: ignore[misc]  # a JSON list
    assert (body["key"], body["name"]) == (key, None)  # type: ignore[has-type]  # as above


@pytest.mark.parametrize(
    ("written", "days"), [(None, 30), ("1", 1), ("007", 7), ("400", 400), ("30", 30)]
)
def test_days_that_can_be_asked_for(written: str | None, days: int) -> None:
    """As many as are kept."""
    assert parse_days(written, most=400) == days


def test_the_default_is_no_more_than_is_kept() -> None:
    """A server that keeps a week lists a week."""
    assert parse_days(None, most=7) == 7


@pytest.mark.parametrize("written", ["", "0", "-1", "401", "1.5", "ten", "²", "9" * 5000])
def test_days_that_make_no_sense(written: str) -> None:
    """The message names the value and what is allowed."""
    with pytest.raises(BadRequest, match=r"from 1 to 400\.") as refused:
        parse_days(written, most=400)
    assert refused.value.param == "days"
