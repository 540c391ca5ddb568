"""Middlewares that limit request bodies: their size, their number and their speed; request ids."""

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

MAX_SILENCE_S: Final = 60.0
"""A body of which no byte arrives for so long times out."""

GRACE_S: Final = 30.0
"""Waiting that is tolerated before the mean rate counts."""

OPENAI_VERSION: Final = "2020-10-01"
"""The version of its API that OpenAI has announced ever since."""

REQUEST_ID: Final = "x-request-id"

_REQUEST_ID: Final = "request_id"

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""Ids that cannot break a line of a log, a header, or a page that shows them."""

_BEGINNINGS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")

_METHODS_WITH_BODY: Final = ("POST", "PUT", "PATCH")
_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
"""Methods that a draining server still answers, such as for the state of a job."""
_RETRY_AFTER_S: Final = 2.0
"""Short, because the uploads of a busy server are short."""


class BodyTimeout:
    """The timeouts of one request body.

    The mean rate counts only the time spent waiting for the client: a client is not to blame for
    the time that the server takes to store its bytes. The limit on the whole is by the clock.
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
        """Return the next part of the body; raise `Stalled` if it does not arrive in time."""
        began = self._clock()
        self._ends_at = min(self._ends_at, began + self._longest_s)
        # Every byte received buys time at the minimum rate.
        allowed_s = GRACE_S + self._n_bytes / self._min_bytes_per_s
        timeout_s = min(MAX_SILENCE_S, allowed_s - self._waited_s, self._ends_at - began)
        with anyio.move_on_after(max(0.0, timeout_s)):
            message = await receive()
            self._waited_s += self._clock() - began
            self._n_bytes += len(message.get("body", b""))
            return message
        raise Stalled(self._describe(self._clock() - began))

    def _describe(self, silent_s: float) -> str:
        """Return which of the limits was exceeded."""
        if self._clock() >= self._ends_at:
            return f"The request's body did not come to its end in {self._longest_s:g} seconds."
        if silent_s >= MAX_SILENCE_S:
            return f"No byte of the request's body has arrived for {MAX_SILENCE_S:g} seconds."
        return (
            f"The request's body arrives too slowly: {self._n_bytes} bytes in "
            f"{self._waited_s + silent_s:.0f} seconds, at least {self._min_bytes_per_s:g} a second "
            "are expected."
        )


class BodySizeMiddleware:
    """Refuses request bodies of more than `limit` bytes, while they arrive.

    The refusal is a `TooLarge` raised out of `receive`, so it is raised where a route reads its
    body, and is handled as every other error. A declared length is refused before a byte is read,
    and before 100 Continue is sent; other bodies are counted.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the body of a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        written = Headers(scope=scope).get("content-length", "")
        declared = int(written) if written.isdecimal() else 0
        n_bytes = 0

        async def receive_limited() -> Message:
            nonlocal n_bytes
            # Only when a route reads the body: uvicorn sends 100 Continue no earlier.
            if declared > self._limit:
                raise self._too_large(f"{declared} bytes announced")
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._limit:
                raise self._too_large(f"{n_bytes} bytes read")
            return message

        await self._app(scope, receive_limited, send)

    def _too_large(self, seen: str) -> TooLarge:
        return TooLarge(f"Maximum content size limit ({self._limit}) exceeded ({seen})")


class UploadSlotsMiddleware:
    """Limits the number of concurrent requests with a body, each of which may fill a file.

    One too many is refused before a byte of its body is read, by an `Overloaded` raised out of
    `receive`. A request keeps its slot to its end, as it keeps its upload; a body that exceeds a
    `timeout` loses it by a `Stalled`.
    """

    def __init__(self, app: ASGIApp, limit: int, timeout: Callable[[], BodyTimeout]) -> None:
        self._app = app
        self._limit = limit
        self._new_timeout = timeout
        self._n_taken = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a slot for a request when its body is read."""
        if scope["type"] != "http" or scope["method"] not in _METHODS_WITH_BODY:
            await self._app(scope, receive, send)
            return
        has_slot = is_whole = False
        timeout = self._new_timeout()

        async def receive_in_slot() -> Message:
            nonlocal has_slot, is_whole
            if not has_slot:
                if self._n_taken >= self._limit:
                    raise Overloaded(
                        f"The server is busy: {self._n_taken} uploads are in work.",
                        retry_after_s=_RETRY_AFTER_S,
                    )
                self._n_taken += 1
                has_slot = True
            # After the body only the end of the connection can arrive, and that may take long.
            message = await receive() if is_whole else await timeout.next(receive)
            is_whole = not message.get("more_body", False)
            return message

        try:
            await self._app(scope, receive_in_slot, send)
        finally:
            self._n_taken -= has_slot


class RequestIdMiddleware:
    """Adds a request id, the processing time and the API's version to every response.

    The id is the client's own, if it sends a valid one, and is on every line of the log.
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to the response of a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        began = self._clock()
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _PLAIN_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        # Bound until the server's task for the request ends, which logs exceptions raised here.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        scope.setdefault("state", {})[_REQUEST_ID] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] in _BEGINNINGS:
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers["openai-processing-ms"] = str(round((self._clock() - began) * 1000))
                headers["openai-version"] = OPENAI_VERSION
            await send(message)

        await self._app(scope, receive, send_with_headers)


def request_id_of(connection: HTTPConnection) -> str:
    """Return the id that the response to a request carries."""
    request_id: str = connection.scope["state"][_REQUEST_ID]
    return request_id


class InFlightRequests:
    """Counts the requests whose body was read, until their responses have ended.

    A draining server waits for these and accepts no new ones. Requests without a body, such as
    those for the state of a job, are still answered.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self.n_requests = 0
        self._all_done = anyio.Event()

    def begin(self) -> None:
        """Count one more; raise `Draining`."""
        if self.is_draining:
            raise Draining
        self.n_requests += 1

    def end(self) -> None:
        """Count one less."""
        self.n_requests -= 1
        if self.is_draining and not self.n_requests:
            self._all_done.set()

    async def drain(self) -> None:
        """Accept no more requests, and wait until all are done."""
        self.is_draining = True
        if self.n_requests:
            await self._all_done.wait()


class InFlightMiddleware:
    """Counts a request when its body is read; `Draining` is raised out of `receive` too."""

    def __init__(self, app: ASGIApp, work: InFlightRequests) -> None:
        self._app = app
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a request that may change anything."""
        if scope["type"] != "http" or scope["method"] in _SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        is_counted = False

        async def receive_counted() -> Message:
            nonlocal is_counted
            if not is_counted:
                self._work.begin()
                is_counted = True
            return await receive()

        try:
            await self._app(scope, receive_counted, send)
        finally:
            if is_counted:
                self._work.end()
