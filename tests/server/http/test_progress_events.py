"""Streams of events below their routes: pings, readers that go or stall, pages of others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.types import Message

from whisperlive_hybrid.server.http import progress_events as events
from whisperlive_hybrid.server.http.progress_events import EventSource, EventSourceResponse, Json

pytestmark = pytest.mark.anyio

SCOPE: dict[str, Any] = {"type": "http"}


class QuietFeed:
    """One event at first, then silence until it is ended."""

    def __init__(self) -> None:
        self.is_over = False
        self.is_open = False
        self.end = anyio.Event()

    async def next(self) -> Json | None:
        """Wait for the end."""
        await self.end.wait()
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[Json, EventSource]]:
        """Record whether it is read."""
        self.is_open = True
        try:
            yield {"type": "first"}, self
        finally:
            self.is_open = False


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for what people would."""
    monkeypatch.setattr(events, "PACE_S", 0.0)
    monkeypatch.setattr(events, "PING_S", 0.001)
    monkeypatch.setattr(events, "STALLED_S", 0.0)


async def connected() -> Message:
    """A reader who stays."""
    await anyio.sleep_forever()
    raise AssertionError


async def test_silence_is_filled_with_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no proxy takes the stream for dead; they are comments, which readers skip."""
    monkeypatch.setattr(events, "STALLED_S", 60.0)
    feed, sent = QuietFeed(), list[bytes]()

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if sent.count(b": ping\n\n") == 3:
            feed.end.set()
        await anyio.lowlevel.checkpoint()

    await EventSourceResponse(feed.open)(SCOPE, connected, send)
    assert sent[:3] == [b"", b'data: {"type":"first"}\n\n', b": ping\n\n"]
    assert sent[-1] == b""
    assert not feed.is_open


async def test_a_reader_who_goes_is_let_go() -> None:
    """Nothing is kept for it."""
    feed = QuietFeed()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        await anyio.lowlevel.checkpoint()

    await EventSourceResponse(feed.open)(SCOPE, receive, send)
    assert not feed.is_open


async def test_a_reader_who_takes_nothing_is_let_go() -> None:
    """Its connection may live on for hours."""
    feed = QuietFeed()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await anyio.sleep_forever()

    await EventSourceResponse(feed.open)(SCOPE, connected, send)
    assert not feed.is_open
