"""What was taken: counts and seconds, by account and UTC day."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from whisperlive_hybrid.auth.rate_limits import MOST_ACCOUNTS

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


class DayBook:
    """Sums in memory; moments are Unix seconds.

    A day is counted by account, so that it can be held against a limit; what is to be stored is
    counted by key, and all who have none are one.
    """

    def __init__(self, most_accounts: int = MOST_ACCOUNTS) -> None:
        self._most = most_accounts
        self._day = date.min
        self._audio_s: OrderedDict[str, float] = OrderedDict()
        self._unsaved: dict[tuple[date, str], Usage] = {}

    def __len__(self) -> int:
        """Accounts that are remembered."""
        return len(self._audio_s)

    def add(self, account: str, usage: Usage, now: float) -> None:
        """Book what an account has taken just now."""
        self._turn_to(now)
        self._note(DayUsage(self._day, _kept_as(account), usage))
        if usage.audio_s:
            self._audio_s[account] = self._audio_s.get(account, 0.0) + usage.audio_s
            self._audio_s.move_to_end(account)
            if len(self._audio_s) > self._most:
                self._audio_s.popitem(last=False)

    def audio_s(self, account: str, now: float) -> float:
        """Seconds of audio that an account has had today."""
        self._turn_to(now)
        return self._audio_s.get(account, 0.0)

    def begin(self, stored: Iterable[DayUsage], now: float) -> None:
        """Go on with what an earlier process has stored of today."""
        self._turn_to(now)
        for row in stored:
            if row.day == self._day and row.account != ANONYMOUS:
                self._audio_s[row.account] = row.usage.audio_s

    def take_unsaved(self) -> list[DayUsage]:
        """What the store has to add; no longer ours."""
        taken = [DayUsage(day, account, usage) for (day, account), usage in self._unsaved.items()]
        self._unsaved.clear()
        return taken

    def put_back(self, rows: Iterable[DayUsage]) -> None:
        """Take back what could not be stored."""
        for row in rows:
            self._note(row)

    def _note(self, row: DayUsage) -> None:
        place = (row.day, row.account)
        self._unsaved[place] = self._unsaved.get(place, Usage()) + row.usage

    def _turn_to(self, now: float) -> None:
        """Begin a new day at midnight; a clock that was set back does not begin an old one."""
        day = utc_day(now)
        if day > self._day:
            self._day = day
            self._audio_s.clear()


def _kept_as(account: str) -> str:
    return account if account.startswith("key:") else ANONYMOUS
