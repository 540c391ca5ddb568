"""What every HTTP request passes before its route: pure ASGI middlewares."""

import math
import re
import time
import uuid
from collections.abc import Callable
from typing import Final

import anyio
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperlive_hybrid.errors import Draining, Overloaded, Stalled, TooLarge

SILENT_S: Final = 60.0
"""A body of which nothing comes for so long is given up."""

GRACE_S: Final = 30.0
"""Of waiting that is forgiven before the average counts."""


class Pace:
    """The pace of one upload.

    On average only the time counts in which we waited for the client: what we do with its bytes,
    however slow, is not its fault. The limit on the whole is by the clock.
    """

    def __init__(
        self,
        min_bytes_per_s: float,
        longest_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._min_bytes_per_s = min_bytes_per_s
        self._longest_s = longest_s
        self._clock = clock
        self._ends_at = math.inf
        self._waited_s = 0.0
        self._n_bytes = 0

    async def next(self, receive: Receive) -> Message:
        """The next part of the body; raises `Stalled` if it does not come in time."""
        began = self._clock()
        self._ends_at = min(self._ends_at, began + self._longest_s)
        with anyio.move_on_after(max(0.0, self._patience_s(began))):
            message = await receive()
            self._waited_s += self._clock() - began
            self._n_bytes += len(message.get("body", b""))
            return message
        raise Stalled(self._reason(self._clock() - began))

    def _patience_s(self, now: float) -> float:
        """How long to wait for the next byte."""
        earned_s = GRACE_S + self._n_bytes / self._min_bytes_per_s
        return min(SILENT_S, earned_s - self._waited_s, self._ends_at - now)

    def _reason(self, silent_s: float) -> str:
        """Which of the limits it was."""
        if self._clock() >= self._ends_at:
            return f"The request's body did not come to its end in {self._longest_s:g} seconds."
        if silent_s >= SILENT_S:
            return f"Nothing of the request's body has come for {SILENT_S:g} seconds."
        return (
            f"The request's body comes too slowly: {self._n_bytes} bytes in "
            f"{self._waited_s + silent_s:.0f} seconds, at least {self._min_bytes_per_s:g} a second "
            "are expected."
        )


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


class RequestIdMiddleware:
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


class Work:
    """Counts the requests whose body was asked for, until their replies have ended.

    While the server drains, these are what it waits for, and no new ones are let in. Requests
    without a body, such as those for the state of a job, go on being answered.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self.n_requests = 0
        self._all_done = anyio.Event()

    def begin(self) -> None:
        """One more; raises `Draining`."""
        if self.is_draining:
            raise Draining
        self.n_requests += 1

    def end(self) -> None:
        """One less."""
        self.n_requests -= 1
        if self.is_draining and not self.n_requests:
            self._all_done.set()

    async def drain(self) -> None:
        """Take nothing more, and wait until all is done."""
        self.is_draining = True
        if self.n_requests:
            await self._all_done.wait()


class CountWork:
    """Counts requests as work when their body is asked for; the refusal comes out there too."""

    def __init__(self, app: ASGIApp, work: Work) -> None:
        self._app = app
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        is_counted = False

        async def counted() -> Message:
            nonlocal is_counted
            if not is_counted:
                self._work.begin()
                is_counted = True
            return await receive()

        try:
            await self._app(scope, counted, send)
        finally:
            if is_counted:
                self._work.end()
