"""The route of usage: what was taken on the last days, by the caller or, for an admin, by all."""

from collections.abc import Mapping
from typing import Final, Literal

from fastapi import FastAPI
from starlette.requests import Request

from whisperlive_hybrid.access.accounts import Accounts
from whisperlive_hybrid.access.caller import Caller
from whisperlive_hybrid.access.usage import ANONYMOUS
from whisperlive_hybrid.protocol.usage import DEFAULT_DAYS, Json, days_asked, usage_list
from whisperlive_hybrid.server.http.described import query_of
from whisperlive_hybrid.server.http.fields import query_fields
from whisperlive_hybrid.server.http.identity import caller_of
from whisperlive_hybrid.server.http.schemas import Exact

USAGE_PATH: Final = "/v1/usage"


class DayBody(Exact):
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


class LimitsBody(Exact):
    """What the caller may take; null where nothing bounds it."""

    requests_per_minute: int | None
    audio_seconds_per_day: float | None
    live_streams: int | None


class UsageBody(Exact):
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
            "maximum": self._accounts.bookkeeper.kept_days,
            "default": min(DEFAULT_DAYS, self._accounts.bookkeeper.kept_days),
            "description": "How many UTC days back, today included.",
        }
        app.get(
            USAGE_PATH, openapi_extra=query_of(days=days), responses={200: {"model": UsageBody}}
        )(self.usage)

    async def usage(self, request: Request) -> Json:
        """What was taken on the last days."""
        caller, keeper = caller_of(request), self._accounts.bookkeeper
        asked = query_fields(request, ("days",))
        days = days_asked(asked.get("days"), keeper.kept_days)
        rows = await keeper.usage(_account(caller), days)
        return usage_list(rows, await self._names(caller), self._accounts.meter.limits_of(caller))

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
