"""The route of usage of the last days: of the caller, or for an admin of all callers."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from fastapi import FastAPI
from starlette.requests import Request

from whisperlive_hybrid.auth.caller import Limits
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
    """Return the days of one account or of all.

    `names` maps ids of keys to names; a deleted key has none. `limits` are the caller's.
    """
    return {
        "object": "list",
        "data": [
            {
                "object": "usage",
                "day": row.day.isoformat(),
                "key": row.key_id,
                "name": names.get(row.key_id) if row.key_id else None,
                "requests": row.usage.requests,
                "refused": row.usage.refused,
                "live_streams": row.usage.streams,
                "audio_seconds": round(row.usage.audio_s, 3),
                "file_seconds": round(row.usage.file_s, 3),
                "live_seconds": round(row.usage.live_s, 3),
            }
            for row in rows
        ],
        "limits": {
            "requests_per_minute": limits.requests_per_minute,
            "audio_seconds_per_day": limits.audio_s_per_day,
            "live_streams": limits.live_streams,
        },
    }


def parse_days(written: str | None, most: int) -> int:
    """Parse a number of days, today included, from 1 to `most`; raise `BadRequest`."""
    if written is None:
        return min(DEFAULT_DAYS, most)
    # int() refuses thousands of digits with an error of its own; five are enough here.
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


USAGE_PATH: Final = "/v1/usage"


class DayBody(StrictModel):
    """The usage of one key on one UTC day; anonymous callers count together, without a key."""

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
    """The limits of the caller; null without a limit."""

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
        """Return the usage of the last days."""
        caller, recorder = caller_of(request), self._accounts.recorder
        days = parse_days(read_query(request, ("days",)).get("days"), recorder.kept_days)
        account: str | None
        names: Mapping[str, str]
        if caller.key is None:
            account, names = ANONYMOUS, {}
        elif caller.key.is_admin:  # sees all accounts
            account = None
            names = {**await self._accounts.names(), caller.key.id: caller.key.name}
        else:
            account, names = caller.account, {caller.key.id: caller.key.name}
        rows = await recorder.load(account, days)
        return usage_list(rows, names, self._accounts.quotas.limits_of(caller))
