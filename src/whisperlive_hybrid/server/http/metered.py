"""Limits of callers over HTTP: a request too many is refused unread; replies tell what is left."""

import re
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperlive_hybrid.access.meter import Meter
from whisperlive_hybrid.errors import LimitReached
from whisperlive_hybrid.protocol.allowances import allowance_headers
from whisperlive_hybrid.server.http.identity import caller_of
from whisperlive_hybrid.server.http.refusals import refused

_FREE: Final = re.compile(r"/v1/jobs/[^/]+/cancel")
"""What is posted without asking for work."""


class Metered:
    """Counts the requests for work of each caller."""

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless its caller has had all it may."""
        if not _asks_for_work(scope):
            await self._app(scope, receive, send)
            return
        caller = caller_of(HTTPConnection(scope))

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                left = allowance_headers(self._meter.allowances(caller))
                MutableHeaders(scope=message).update(left)
            await send(message)

        try:
            self._meter.admit(caller)
        except LimitReached as error:
            reply = await refused(Request(scope), error)
            await reply(scope, receive, told)
            return
        await self._app(scope, receive, told)


def _asks_for_work(scope: Scope) -> bool:
    """Whatever is posted, so that a new route is bounded before anybody thinks of it."""
    is_posted = scope["type"] == "http" and scope["method"] == "POST"
    return is_posted and not _FREE.fullmatch(scope["path"])
