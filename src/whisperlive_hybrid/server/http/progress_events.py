"""Streams of events: the same JSON as server-sent events and over a WebSocket.

A feed always gives its newest state, so what waits for a slow reader is one event, never a queue.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

import anyio
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from whisperlive_hybrid.auth.caller import Caller
from whisperlive_hybrid.errors import NotFound, WhisperLiveError
from whisperlive_hybrid.jobs.api import render_end, render_progress
from whisperlive_hybrid.jobs.progress import JobSubscription
from whisperlive_hybrid.jobs.service import JobService
from whisperlive_hybrid.server.http.sse import STALLED_S
from whisperlive_hybrid.server.http.upload_progress import (
    Stage,
    UploadBoard,
    UploadWatch,
    is_progress_id,
    upload_event,
)
from whisperlive_hybrid.server.net.credentials import BEARER

PACE_S: Final = 0.25
"""Between two events to one reader: nobody reads faster."""

PING_S: Final = 15.0
"""Silence after which a comment shows proxies that the stream is alive."""

_PING: Final = b": ping\n\n"
_NORMAL, _RESTARTING, _UNKNOWN, _REFUSED = 1000, 1012, 4404, 4400
"""Close codes: two of RFC 6455's, then ours, after the statuses of HTTP."""

Json = dict[str, object]


class EventSource(Protocol):
    """Where events come from."""

    async def next(self) -> Json | None:
        """The newest event; None after the last. Safe to cancel."""

    @property
    def is_over(self) -> bool:
        """Whether the last event was the end of what is watched, and not of the server."""


OpenEventSource = Callable[[], AbstractAsyncContextManager[tuple[Json, EventSource]]]
"""Enters a feed and waits for its first event; raises `NotFound` and the like."""


class EventSourceResponse(Response):
    """`data:` lines until the feed ends or the client has gone."""

    def __init__(self, open_feed: OpenEventSource) -> None:
        super().__init__(
            media_type="text/event-stream",
            # Proxies must neither keep nor gather what is meant for one reader, now.
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )
        del self.headers["content-length"]
        self._open_feed = open_feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, after the first event: until then, an error is a plain reply."""
        del scope
        async with self._open_feed() as (first, feed):
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                    await _write(first, feed, send)
                    tasks.cancel_scope.cancel()
            except* ClientDisconnect:
                pass  # the reader has stalled, and nobody else wanted to know


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _write(first: Json, feed: EventSource, send: Send) -> None:
    event: Json | None = first
    while event is not None:
        await _send_part(send, f"data: {_dumped(event)}\n\n".encode())
        event = await _paced(feed, send)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _paced(feed: EventSource, send: Send) -> Json | None:
    """The next event, not too soon after the last one, with pings while there is none."""
    if not feed.is_over:
        await anyio.sleep(PACE_S)
    while True:
        with anyio.move_on_after(PING_S):
            return await feed.next()
        await _send_part(send, _PING)


async def _send_part(send: Send, body: bytes) -> None:
    """Wait while the reader is slow, within reason; raises `ClientDisconnect`."""
    with anyio.move_on_after(STALLED_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})
        return
    raise ClientDisconnect


async def send_events(socket: WebSocket, open_feed: OpenEventSource) -> None:
    """Send the events as text frames, then close; what the client sends is thrown away."""
    # A browser that shows its key as a subprotocol wants one of those it has offered.
    is_bearer = BEARER in socket.scope["subprotocols"]
    await socket.accept(BEARER if is_bearer else None)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_closed, socket, tasks.cancel_scope)
            code, reason = await _sent(socket, open_feed)
            await socket.close(code, reason)
            tasks.cancel_scope.cancel()
    except* WebSocketDisconnect:
        pass  # the reader has gone, and nobody else wanted to know


async def _sent(socket: WebSocket, open_feed: OpenEventSource) -> tuple[int, str]:
    """Send all events; how to close."""
    try:
        async with open_feed() as (first, feed):
            event: Json | None = first
            while event is not None:
                await socket.send_text(_dumped(event))
                if not feed.is_over:
                    await anyio.sleep(PACE_S)
                event = await feed.next()
            return (_NORMAL, "") if feed.is_over else (_RESTARTING, "The server stops.")
    except WhisperLiveError as error:
        # A reason has at most 123 bytes (RFC 6455, 5.5).
        return _close_code(error), error.message.encode()[:120].decode(errors="ignore")


def _close_code(error: WhisperLiveError) -> int:
    return _UNKNOWN if isinstance(error, NotFound) else _REFUSED


async def _until_closed(socket: WebSocket, scope: anyio.CancelScope) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    scope.cancel()


def _dumped(event: Json) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


UPLOAD_START_TIMEOUT_S: Final = 30.0
"""How long a watcher waits for an upload that has not begun."""

ServiceFor = Callable[[Caller], JobService]
"""The desk of jobs as a caller sees it."""


class JobEvents:
    """The events of a job."""

    def __init__(self, watch: JobSubscription) -> None:
        self._watch = watch
        self.is_over = False

    async def next(self) -> Json | None:
        """The newest event."""
        news = await self._watch.next()
        if news is None:
            return None
        self.is_over = news.is_last
        return render_end(news.job) if news.is_last else render_progress(news.job, news.delta)


class UploadEvents:
    """The events of an upload."""

    def __init__(self, watch: UploadWatch) -> None:
        self._watch = watch
        self.is_over = False

    async def next(self) -> Json | None:
        """The newest event."""
        news = await self._watch.next()
        if news is None:
            return None
        self.is_over = news.stage is not Stage.PROGRESS
        return upload_event(news)


class EventSources:
    """Opens the feed that an id stands for."""

    def __init__(
        self,
        service_for: ServiceFor,
        uploads: UploadBoard,
        begins_within_s: float = UPLOAD_START_TIMEOUT_S,
    ) -> None:
        self._service_for = service_for
        self._uploads = uploads
        self._begins_within_s = begins_within_s

    def open(
        self, caller: Caller, watched_id: str
    ) -> AbstractAsyncContextManager[tuple[Json, EventSource]]:
        """Enter the feed at its first event.

        Raises `NotFound`, also for what is another's, and for what never begins.
        """
        is_upload = is_progress_id(watched_id)
        opened = self._of_upload if is_upload else self._of_job
        return opened(caller, watched_id)

    @asynccontextmanager
    async def _of_job(self, caller: Caller, job_id: str) -> AsyncIterator[tuple[Json, EventSource]]:
        async with self._service_for(caller).watch(job_id) as watch:
            feed = JobEvents(watch)
            yield await _first(feed, job_id), feed

    @asynccontextmanager
    async def _of_upload(
        self, caller: Caller, upload_id: str
    ) -> AsyncIterator[tuple[Json, EventSource]]:
        with self._uploads.watch(caller, upload_id) as watch:
            feed = UploadEvents(watch)
            first = None
            with anyio.move_on_after(self._begins_within_s):
                first = await _first(feed, upload_id)
            if first is None:
                raise NotFound(
                    f"No upload {upload_id!r} has begun within {self._begins_within_s:g} s.",
                    code="upload_not_found",
                )
            yield first, feed


async def _first(feed: EventSource, watched_id: str) -> Json:
    """The current state, which is there at once for what has begun."""
    first = await feed.next()
    if first is None:
        raise NotFound(f"The server stops; ask for {watched_id!r} again.", code="server_draining")
    return first
