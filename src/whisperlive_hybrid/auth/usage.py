"""Usage: requests and seconds of audio, by account and UTC day."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from whisperlive_hybrid.auth.rate_limits import MAX_ACCOUNTS

ANONYMOUS: Final = "anonymous"
"""The one account under which usage without a key is stored: addresses are personal data."""

DAY_S: Final = 86_400
"""Unix time has no leap seconds, so all its days have this length."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage over some time."""

    requests: int = 0
    """Requests for work, live streams included."""
    refused: int = 0
    """Requests that were rejected because of a limit of the caller, not for lack of capacity;
    they are not counted in `requests`."""
    streams: int = 0
    """Live streams that were opened."""
    file_s: float = 0.0
    """Seconds of audio transcribed from files, jobs included."""
    live_s: float = 0.0
    """Seconds of audio received by live streams."""

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
        """Seconds of audio, files and live streams together."""
        return self.file_s + self.live_s


@dataclass(frozen=True, slots=True)
class DayUsage:
    """Usage of one account on one UTC day."""

    day: date
    account: str
    """`key:` and the id of a key, or `ANONYMOUS`."""
    usage: Usage

    @property
    def key_id(self) -> str | None:
        """Id of the key; None for `ANONYMOUS`."""
        return None if self.account == ANONYMOUS else self.account.removeprefix("key:")


def utc_day(now: float) -> date:
    """Return the UTC day of a time in Unix seconds."""
    return datetime.fromtimestamp(now, UTC).date()


def first_day(days: int, now: float) -> date:
    """Return the first of the last `days` days, today included; at the earliest year 1."""
    today = utc_day(now)
    return date.fromordinal(max(1, today.toordinal() - days + 1))


def seconds_until_midnight(now: float) -> float:
    """Return the seconds from `now` (Unix seconds) to the next UTC day."""
    return DAY_S - now % DAY_S


class DailyUsage:
    """Usage of today in memory; all times are Unix seconds.

    Today's audio is summed by account, to check it against a quota. The sums to store are by key,
    with all callers without a key as one account.
    """

    def __init__(self, max_accounts: int = MAX_ACCOUNTS) -> None:
        self._max_accounts = max_accounts
        self._day = date.min
        self._audio_s: OrderedDict[str, float] = OrderedDict()
        self._unsaved: dict[tuple[date, str], Usage] = {}

    def __len__(self) -> int:
        """Accounts in memory."""
        return len(self._audio_s)

    def add(self, account: str, usage: Usage, now: float) -> None:
        """Add usage of an account."""
        self._advance_day(now)
        stored_account = account if account.startswith("key:") else ANONYMOUS
        self._add_unsaved(DayUsage(self._day, stored_account, usage))
        # Requests without audio use no memory here, however many addresses send them.
        if usage.audio_s:
            self._audio_s[account] = self._audio_s.get(account, 0.0) + usage.audio_s
            self._audio_s.move_to_end(account)
            # The least recently used account, whose quota is then full again.
            if len(self._audio_s) > self._max_accounts:
                self._audio_s.popitem(last=False)

    def audio_s(self, account: str, now: float) -> float:
        """Return the seconds of audio that an account has used today."""
        self._advance_day(now)
        return self._audio_s.get(account, 0.0)

    def restore(self, stored: Iterable[DayUsage], now: float) -> None:
        """Continue with the usage that an earlier process stored for today."""
        self._advance_day(now)
        for row in stored:
            # The sum of all anonymous callers is no use for a quota by address.
            if row.day == self._day and row.account != ANONYMOUS:
                self._audio_s[row.account] = row.usage.audio_s

    def take_unsaved(self) -> list[DayUsage]:
        """Remove and return the usage to add to the store."""
        rows = [DayUsage(day, account, usage) for (day, account), usage in self._unsaved.items()]
        self._unsaved.clear()
        return rows

    def put_back(self, rows: Iterable[DayUsage]) -> None:
        """Put back usage that could not be stored."""
        for row in rows:
            self._add_unsaved(row)

    def _add_unsaved(self, row: DayUsage) -> None:
        key = (row.day, row.account)
        self._unsaved[key] = self._unsaved.get(key, Usage()) + row.usage

    def _advance_day(self, now: float) -> None:
        """Start a new day at midnight; a clock that was set back does not restart an old one."""
        day = utc_day(now)
        if day > self._day:
            self._day = day
            self._audio_s.clear()
