"""What every HTTP request passes before its route: pure ASGI middlewares."""

import re
import time
import uuid
from collections.abc import Callable
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperlive_hybrid.errors import Overloaded, TooLarge
from whisperlive_hybrid.server.http.pace import Pace

OPENAI_VERSION: Final = "2020-10-01"
"""The version of its API that OpenAI has announced ever since."""

REQUEST_ID: Final = "x-request-id"

_REQUEST_ID: Final = "request_id"

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""Nothing that could break a line of a log, a header, or a page that shows it."""

_BEGINNINGS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")

_METHODS_WITH_BODY: Final = ("POST", "PUT", "PATCH")
_RETRY_AFTER_S: Final = 2.0
"""Uploads are short where they are many."""


class BodyLimit:
    """Refuses request bodies of more than `limit` bytes, while they arrive.

    The refusal is a `TooLarge` raised out of `receive`, so it comes out where a route reads its
    body and takes the way of every other error. A declared length is refused before a byte is read,
    and before the client is told to go on (100 Continue); other bodies are counted.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = _declared_length(scope)
        counted = 0

        async def limited() -> Message:
            nonlocal counted
            if declared > self._limit:
                raise self._too_large(f"{declared} bytes announced")
            message = await receive()
            counted += len(message.get("body", b""))
            if counted > self._limit:
                raise self._too_large(f"{counted} bytes read")
            return message

        await self._app(scope, limited, send)

    def _too_large(self, seen: str) -> TooLarge:
        return TooLarge(f"Maximum content size limit ({self._limit}) exceeded ({seen})")


class UploadSlots:
    """Bounds how many requests with a body are in work at once: each may fill a file on the disk.

    One too many is refused before a byte of its body is read, by an `Overloaded` raised out of
    `receive`. A request keeps its slot to its end, as it keeps its upload; one whose body does not
    keep `pace` loses it by a `Stalled`.
    """

    def __init__(self, app: ASGIApp, limit: int, pace: Callable[[], Pace]) -> None:
        self._app = app
        self._limit = limit
        self._new_pace = pace
        self._taken = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; it takes a slot when its body is asked for."""
        if scope["type"] != "http" or scope["method"] not in _METHODS_WITH_BODY:
            await self._app(scope, receive, send)
            return
        has_slot = is_whole = False
        pace = self._new_pace()

        async def admitted() -> Message:
            nonlocal has_slot, is_whole
            if not has_slot:
                self._take()
                has_slot = True
            # After the body only the end of the connection can come, and that may take long.
            message = await receive() if is_whole else await pace.next(receive)
            is_whole = not message.get("more_body", False)
            return message

        try:
            await self._app(scope, admitted, send)
        finally:
            self._taken -= has_slot

    def _take(self) -> None:
        if self._taken >= self._limit:
            raise Overloaded(
                f"The server is busy: {self._taken} uploads are in work.",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._taken += 1


class Stamp:
    """Puts a request id, the time it took and the API's version on every reply.

    The id is the client's own, if it sends a harmless one, and stands on every line of the log.
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its reply stamped."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        began, request_id = self._clock(), _request_id(scope)
        # To the end of the task that the server runs a request in, which logs what comes out here.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        scope.setdefault("state", {})[_REQUEST_ID] = request_id

        async def stamped(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers["openai-processing-ms"] = str(round((self._clock() - began) * 1000))
                headers["openai-version"] = OPENAI_VERSION
            await send(message)

        await self._app(scope, receive, stamped)


def request_id_of(connection: HTTPConnection) -> str:
    """Return the id that the reply to a request carries."""
    request_id: str = connection.scope["state"][_REQUEST_ID]
    return request_id


def _request_id(scope: Scope) -> str:
    """The client's own if it is short and plain, else a new one."""
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _PLAIN_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"


def _declared_length(scope: Scope) -> int:
    """Content-Length; 0 where there is none, or none that a number can be read from."""
    written = Headers(scope=scope).get("content-length", "")
    return int(written) if written.isdecimal() else 0
