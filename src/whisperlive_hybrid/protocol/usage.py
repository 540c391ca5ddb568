"""Usage in the shape of OpenAI's lists: an object for each day and key."""

from collections.abc import Mapping, Sequence
from typing import Final

from whisperlive_hybrid.access.caller import Limits
from whisperlive_hybrid.access.usage import DayUsage
from whisperlive_hybrid.errors import BadRequest

DEFAULT_DAYS: Final = 30

Json = dict[str, object]


def usage_list(rows: Sequence[DayUsage], names: Mapping[str, str], limits: Limits) -> Json:
    """The days of one account or of all; `names` are those of the keys, `limits` the caller's."""
    return {
        "object": "list",
        "data": [_day(row, names) for row in rows],
        "limits": {
            "requests_per_minute": limits.requests_per_minute,
            "audio_seconds_per_day": limits.audio_s_per_day,
            "live_streams": limits.live_streams,
        },
    }


def days_asked(written: str | None, most: int) -> int:
    """How many days are wanted, today included. Raises `BadRequest`."""
    if written is None:
        return min(DEFAULT_DAYS, most)
    # No number is longer than five digits here, and int() refuses thousands of them in its own way.
    if (
        written.isascii()
        and written.isdecimal()
        and len(written) <= 5
        and 1 <= int(written) <= most
    ):
        return int(written)
    raise BadRequest(
        f"days is {written[:80]!r}; it must be a whole number from 1 to {most}.",
        param="days",
        code="invalid_value",
    )


def _day(row: DayUsage, names: Mapping[str, str]) -> Json:
    """One day; a key that has been deleted has no name any more."""
    key = row.key_id
    return {
        "object": "usage",
        "day": row.day.isoformat(),
        "key": key,
        "name": names.get(key) if key else None,
        "requests": row.usage.requests,
        "refused": row.usage.refused,
        "live_streams": row.usage.streams,
        "audio_seconds": round(row.usage.audio_s, 3),
        "file_seconds": round(row.usage.file_s, 3),
        "live_seconds": round(row.usage.live_s, 3),
    }
