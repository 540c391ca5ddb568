"""What was taken: counts and seconds, by account and UTC day."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

ANONYMOUS: Final = "anonymous"
"""The one account under which usage without a key is kept: addresses are personal data."""

DAY_S: Final = 86_400
"""Unix time has no other days."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What was taken over some time."""

    requests: int = 0
    """Requests for work, and live streams."""
    refused: int = 0
    """Of those that came besides: for want of an allowance, not of room."""
    streams: int = 0
    """Live streams that were opened."""
    file_s: float = 0.0
    """Seconds of audio that were read from files, jobs included."""
    live_s: float = 0.0
    """Seconds of audio that were heard live."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.requests + other.requests,
            self.refused + other.refused,
            self.streams + other.streams,
            self.file_s + other.file_s,
            self.live_s + other.live_s,
        )

    @property
    def audio_s(self) -> float:
        """Seconds of audio, whichever way they came."""
        return self.file_s + self.live_s


@dataclass(frozen=True, slots=True)
class DayUsage:
    """What one account has taken on one UTC day."""

    day: date
    account: str
    """`key:` and the id of a key, or `ANONYMOUS`."""
    usage: Usage

    @property
    def key_id(self) -> str | None:
        """The key, if it is one's."""
        return None if self.account == ANONYMOUS else self.account.removeprefix("key:")


def utc_day(now: float) -> date:
    """The day of a moment in Unix seconds."""
    return datetime.fromtimestamp(now, UTC).date()


def first_of(days: int, now: float) -> date:
    """The first of so many days, of which that of `now` is the last; no earlier than there are."""
    today = utc_day(now)
    return date.fromordinal(max(1, today.toordinal() - days + 1))


def until_midnight_s(now: float) -> float:
    """Seconds from a moment in Unix seconds to the next UTC day."""
    return DAY_S - now % DAY_S
