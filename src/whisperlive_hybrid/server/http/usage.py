"""The route of usage: what was taken on the last days, by the caller or, for an admin, by all."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from fastapi import FastAPI
from starlette.requests import Request

from whisperlive_hybrid.auth.caller import Caller, Limits
from whisperlive_hybrid.auth.usage import ANONYMOUS, DayUsage
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.server.http.auth import caller_of
from whisperlive_hybrid.server.http.forms import read_query
from whisperlive_hybrid.server.http.openapi import query_schema
from whisperlive_hybrid.server.http.schemas import StrictModel
from whisperlive_hybrid.storage.usage_recorder import Accounts

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


def parse_days(written: str | None, most: int) -> int:
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


USAGE_PATH: Final = "/v1/usage"


class DayBody(StrictModel):
    """What one key has taken on one UTC day; all who have none are one, without a key."""

    object: Literal["usage"]
    day: str
    key: str | None
    name: str | None
    requests: int
    refused: int
    live_streams: int
    audio_seconds: float
    file_seconds: float
    live_seconds: float


class LimitsBody(StrictModel):
    """What the caller may take; null where nothing bounds it."""

    requests_per_minute: int | None
    audio_seconds_per_day: float | None
    live_streams: int | None


class UsageBody(StrictModel):
    """The newest day first; days without usage are left out."""

    object: Literal["list"]
    data: list[DayBody]
    limits: LimitsBody


class UsageRoutes:
    """/v1/usage."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def mount(self, app: FastAPI) -> None:
        """Add the route."""
        days = {
            "type": "integer",
            "minimum": 1,
            "maximum": self._accounts.recorder.kept_days,
            "default": min(DEFAULT_DAYS, self._accounts.recorder.kept_days),
            "description": "How many UTC days back, today included.",
        }
        app.get(
            USAGE_PATH, openapi_extra=query_schema(days=days), responses={200: {"model": UsageBody}}
        )(self.usage)

    async def usage(self, request: Request) -> Json:
        """What was taken on the last days."""
        caller, keeper = caller_of(request), self._accounts.recorder
        asked = read_query(request, ("days",))
        days = parse_days(asked.get("days"), keeper.kept_days)
        rows = await keeper.load(_account(caller), days)
        return usage_list(rows, await self._names(caller), self._accounts.quotas.limits_of(caller))

    async def _names(self, caller: Caller) -> Mapping[str, str]:
        """The names that a caller may know."""
        if caller.key is None:
            return {}
        others = await self._accounts.names() if caller.key.is_admin else {}
        return {**others, caller.key.id: caller.key.name}


def _account(caller: Caller) -> str | None:
    """Whose usage a caller sees: its own, all (None), or what is nobody's."""
    if caller.key is None:
        return ANONYMOUS
    return None if caller.key.is_admin else caller.account
