"""A local web server with the responses of a test."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener


@dataclass(slots=True)
class ReceivedRequest:
    """A received request."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


Answer = bytes | Callable[[ByteStream], Awaitable[None]]
"""The response of a path: all its bytes, or a function that writes them."""


@dataclass(slots=True)
class FakeWebServer:
    """A server that answers one request per connection by path, and records the requests."""

    answers: Mapping[str, Answer]
    port: int
    asked: list[ReceivedRequest] = field(default_factory=list)
    left: anyio.Event = field(default_factory=anyio.Event)
    """Set when a client has closed its connection before the response was complete."""

    async def serve(self, stream: ByteStream) -> None:
        """Serve one connection."""
        async with stream:
            try:
                request = await _read_request(stream)
                self.asked.append(request)
                answer = self.answers[request.target]
                await (stream.send(answer) if isinstance(answer, bytes) else answer(stream))
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                self.left.set()


async def _read_request(stream: ByteStream) -> ReceivedRequest:
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive()
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += await stream.receive()
    method, target, _ = first.split(" ")
    return ReceivedRequest(method, target, headers, body)


@asynccontextmanager
async def serve_answers(
    answers: Mapping[str, Answer], tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakeWebServer]:
    """Serve on a free port of 127.0.0.1."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 (no Django here)
        remote = FakeWebServer(answers, port)
        async with anyio.create_task_group() as tasks:
            if tls:
                wrapped = TLSListener(listener, tls, standard_compatible=False)
                tasks.start_soon(wrapped.serve, remote.serve)
            else:
                tasks.start_soon(listener.serve, remote.serve)
            yield remote
            tasks.cancel_scope.cancel()


def answer(
    body: bytes = b"", status: str = "200 OK", length: int | None = None, **headers: str
) -> bytes:
    """Return an HTTP response; `length` is a wrong Content-Length; `_` in names becomes `-`."""
    fields = {"content-length": str(len(body) if length is None else length)}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
