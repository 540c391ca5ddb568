"""Server-sent events: a reply that is written while the work behind it is done."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Final

import anyio
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from whisperlive_hybrid.errors import WhisperLiveError
from whisperlive_hybrid.protocol.openai.sse import render_error
from whisperlive_hybrid.server.http.access_log import record_failure

STALLED_S: Final = 60.0
"""A client that takes nothing for so long is taken to have gone."""

Emit = Callable[[str], Awaitable[None]]
"""Sends frames; waits while the client is slow, so that nothing piles up. The first call begins the
reply, even with an empty text."""


class EventStream(Response):
    """Runs `work` when the server asks for the reply, and frees what is `held` for it afterwards.

    What `work` raises before its first frame comes out, so that it is answered with a status;
    later it becomes the last frame. Whether the client is still there is for `work` to watch:
    it is the one reader of `receive`.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        work: Callable[[Emit], Awaitable[None]],
        held: AsyncExitStack,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        # Proxies that buffer replies (nginx) would hand the events over all at once.
        unbuffered = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(headers={**unbuffered, **headers})
        del self.headers["content-length"]
        self._work = work
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        del receive
        reply = _Reply(self, send)
        try:
            async with self._held:
                await self._work(reply.emit)
            await reply.end()
        except ClientDisconnect:
            if not reply.has_begun:
                raise
        except Exception as error:
            if not reply.has_begun:
                raise
            record_failure(scope, error)
            await reply.end(render_error(error))
            if not isinstance(error, WhisperLiveError):
                raise  # a defect is for the server's log


class _Reply:
    """The messages of one reply, begun when there is something to say."""

    def __init__(self, response: Response, send: Send) -> None:
        self._response = response
        self._send = send
        self.has_begun = False

    async def emit(self, frames: str) -> None:
        """Send frames, and the head of the reply before the first; raises `ClientDisconnect`."""
        if not self.has_begun:
            self.has_begun = True
            await self._pass(
                {
                    "type": "http.response.start",
                    "status": self._response.status_code,
                    "headers": self._response.raw_headers,
                }
            )
        if frames:
            await self._pass(_body(frames, more=True))

    async def end(self, frames: str = "") -> None:
        """Send the last frames."""
        await self._pass(_body(frames, more=False))

    async def _pass(self, message: Message) -> None:
        with anyio.move_on_after(STALLED_S):
            await self._send(message)
            return
        raise ClientDisconnect


def _body(frames: str, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": frames.encode(), "more_body": more}
