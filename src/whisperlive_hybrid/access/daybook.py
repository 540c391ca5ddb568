"""What was taken today, by account, and what of it the store does not know yet."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import date

from whisperlive_hybrid.access.buckets import MOST_ACCOUNTS
from whisperlive_hybrid.access.usage import ANONYMOUS, DayUsage, Usage, utc_day


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
