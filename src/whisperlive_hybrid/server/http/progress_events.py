"""Progress of jobs and uploads: the same JSON as server-sent events and over a WebSocket.

A source always returns its newest state, so a slow reader holds up one event, never a queue.
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
from whisperlive_hybrid.server.http.disconnect import cancel_on_disconnect
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
"""Between two events to one reader: more could not be read."""

PING_S: Final = 15.0
"""Silence after which a comment shows proxies that the stream is alive."""

UPLOAD_START_TIMEOUT_S: Final = 30.0
"""Time that a watcher waits for an upload that has not begun."""

_PING: Final = b": ping\n\n"
_NORMAL, _RESTARTING, _UNKNOWN, _REFUSED = 1000, 1012, 4404, 4400
"""Close codes: two of RFC 6455's, then private ones after the statuses of HTTP."""

Json = dict[str, object]

ServiceFor = Callable[[Caller], JobService]
"""Returns the jobs of a caller."""


class EventSource(Protocol):
    """The events of one job or upload."""

    async def next(self) -> Json | None:
        """Return the newest event, None after the last; safe to cancel."""

    @property
    def is_over(self) -> bool:
        """True if the last event was the end of the job or upload, and not of the server."""


OpenEventSource = Callable[[], AbstractAsyncContextManager[tuple[Json, EventSource]]]
"""Opens a source and waits for its first event; raises `NotFound` and the like."""


class EventSourceResponse(Response):
    """Server-sent events until the source ends or the client disconnects."""

    def __init__(self, open_source: OpenEventSource) -> None:
        super().__init__(
            media_type="text/event-stream",
            # Proxies must neither store nor buffer events.
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )
        del self.headers["content-length"]
        self._open_source = open_source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond after the first event, so that an error until then is a plain response."""
        del scope
        async with self._open_source() as (first, source):
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(cancel_on_disconnect, receive, tasks.cancel_scope)
                    await _write_events(first, source, send)
                    tasks.cancel_scope.cancel()
            except* ClientDisconnect:
                pass  # the reader has stalled, and there is no other


async def _write_events(first: Json, source: EventSource, send: Send) -> None:
    event: Json | None = first
    while event is not None:
        await _write_part(send, f"data: {_dump(event)}\n\n".encode())
        if not source.is_over:
            await anyio.sleep(PACE_S)
        while True:
            with anyio.move_on_after(PING_S):
                event = await source.next()
                break
            await _write_part(send, _PING)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _write_part(send: Send, body: bytes) -> None:
    """Send a part of the body; raise `ClientDisconnect` if the reader stalls."""
    with anyio.move_on_after(STALLED_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})
        return
    raise ClientDisconnect


async def send_events(socket: WebSocket, open_source: OpenEventSource) -> None:
    """Send the events as text frames, then close; messages of the client are discarded."""
    # A browser that sends its key as a subprotocol requires one of those it has offered.
    is_bearer = BEARER in socket.scope["subprotocols"]
    await socket.accept(BEARER if is_bearer else None)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_on_disconnect, socket.receive, tasks.cancel_scope)
            code, reason = await _send_all(socket, open_source)
            await socket.close(code, reason)
            tasks.cancel_scope.cancel()
    except* WebSocketDisconnect:
        pass  # the reader has disconnected, and there is no other


async def _send_all(socket: WebSocket, open_source: OpenEventSource) -> tuple[int, str]:
    """Send all events; return the close code and its reason."""
    try:
        async with open_source() as (first, source):
            event: Json | None = first
            while event is not None:
                await socket.send_text(_dump(event))
                if not source.is_over:
                    await anyio.sleep(PACE_S)
                event = await source.next()
            return (_NORMAL, "") if source.is_over else (_RESTARTING, "The server stops.")
    except WhisperLiveError as error:
        code = _UNKNOWN if isinstance(error, NotFound) else _REFUSED
        # A reason has at most 123 bytes (RFC 6455, 5.5).
        return code, error.message.encode()[:120].decode(errors="ignore")


def _dump(event: Json) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


class JobEvents:
    """The events of a job."""

    def __init__(self, watch: JobSubscription) -> None:
        self._watch = watch
        self.is_over = False

    async def next(self) -> Json | None:
        """Return the newest event, None after the last; safe to cancel."""
        update = await self._watch.next()
        if update is None:
            return None
        self.is_over = update.is_last
        if update.is_last:
            return render_end(update.job)
        return render_progress(update.job, update.delta)


class UploadEvents:
    """The events of an upload."""

    def __init__(self, watch: UploadWatch) -> None:
        self._watch = watch
        self.is_over = False

    async def next(self) -> Json | None:
        """Return the newest event, None after the last; safe to cancel."""
        update = await self._watch.next()
        if update is None:
            return None
        self.is_over = update.stage is not Stage.PROGRESS
        return upload_event(update)


class EventSources:
    """Opens the source of events for an id of a job or an upload."""

    def __init__(
        self,
        service_for: ServiceFor,
        uploads: UploadBoard,
        upload_timeout_s: float = UPLOAD_START_TIMEOUT_S,
    ) -> None:
        self._service_for = service_for
        self._uploads = uploads
        self._upload_timeout_s = upload_timeout_s

    @asynccontextmanager
    async def open(
        self, caller: Caller, watched_id: str
    ) -> AsyncIterator[tuple[Json, EventSource]]:
        """Open a source and wait for its first event.

        Raise `NotFound` for an unknown id, one of another caller, and an upload that never begins.
        """
        source: EventSource
        if not is_progress_id(watched_id):
            async with self._service_for(caller).watch(watched_id) as job:
                source = JobEvents(job)
                yield await _first(source, watched_id), source
            return
        with self._uploads.watch(caller, watched_id) as upload:
            source = UploadEvents(upload)
            first = None
            # An upload may be watched before it begins; the state of a job is there at once.
            with anyio.move_on_after(self._upload_timeout_s):
                first = await _first(source, watched_id)
            if first is None:
                raise NotFound(
                    f"No upload {watched_id!r} has begun within {self._upload_timeout_s:g} s.",
                    code="upload_not_found",
                )
            yield first, source


async def _first(source: EventSource, watched_id: str) -> Json:
    """Return the current state; raise `NotFound` if the server stops."""
    first = await source.next()
    if first is None:
        raise NotFound(f"The server stops; ask for {watched_id!r} again.", code="server_draining")
    return first
