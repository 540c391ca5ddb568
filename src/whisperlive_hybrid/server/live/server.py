"""The WhisperLive server: the protocol on the websockets library's own listener."""

import socket as sockets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, cast

from websockets.asyncio.server import Server, ServerConnection, serve

from whisperlive_hybrid.protocol.live import LiveCodec
from whisperlive_hybrid.server.live.stream import LiveStreams
from whisperlive_hybrid.server.live.transport import TransportLimits
from whisperlive_hybrid.server.live.websocket import (
    LiveConnection,
    UpgradeCheck,
    WebSocketTransport,
    select_subprotocol,
)

MAX_FRAME: Final = 16 * 2**20
"""Bytes of one message; the reference allows 1 MiB, no client depends on that."""

MAX_QUEUED_FRAMES: Final = 4
"""Messages that wait for a session before the socket is no longer read."""


class WhisperLiveServer:
    """Takes WebSocket connections and serves each as a live stream."""

    def __init__(
        self,
        streams: LiveStreams,
        check: UpgradeCheck,
        codec: Callable[[], LiveCodec],
        limits: TransportLimits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`codec` makes the codec of each connection."""
        self._streams = streams
        self._check = check
        self._codec = codec
        self._limits = limits
        self._tls = tls
        self.port = 0
        """Where it listens, once it does."""

    @property
    def n_clients(self) -> int:
        """Live streams that are open."""
        return self._streams.admission.n_clients

    @asynccontextmanager
    async def listening(self, listener: sockets.socket) -> AsyncIterator[Server]:
        """Serve connections of `listener`; closing the context closes those still open."""
        async with serve(
            self._handle,
            sock=listener,
            # The library calls it as a class, and needs no more of one.
            create_connection=cast(
                "type[ServerConnection]", partial(LiveConnection, limits=self._limits)
            ),
            ssl=self._tls,
            compression=None,  # an idle socket costs 15 kB in place of 48
            max_size=MAX_FRAME,
            max_queue=MAX_QUEUED_FRAMES,
            open_timeout=self._limits.handshake_s,
            close_timeout=self._limits.close_s,
            ping_interval=None,  # the server sends pings of its own, see `websocket`
            select_subprotocol=select_subprotocol,
            process_request=self._check.process_request,
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield server

    async def _handle(self, socket: ServerConnection) -> None:
        assert isinstance(socket, LiveConnection)  # noqa: S101 (see `create_connection`)
        await self._streams.serve(WebSocketTransport(socket, self._limits), self._codec())
