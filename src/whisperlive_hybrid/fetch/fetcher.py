"""Downloads from URLs that clients give, and posts to their webhooks: bounded in every way.

httpcore alone speaks HTTP here, below httpx's client: nothing has to be switched off that must not
happen (redirects unseen, proxies from the environment, cookies, netrc, decompression).
"""

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO, Final

import anyio
import anyio.to_thread
import httpcore
import httpx

from whisperlive_hybrid import __version__
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.errors import BadRequest, Overloaded, TooLarge, Unsupported
from whisperlive_hybrid.fetch.addresses import AllowList, literal
from whisperlive_hybrid.fetch.network import (
    CheckedNetwork,
    Resolve,
    not_allowed,
    remote_failed,
    resolve,
)
from whisperlive_hybrid.fetch.urls import filename, host_of, parse, redirected

MAX_REDIRECTS: Final = 5
MAX_CONNECTIONS: Final = 32
"""Downloads and webhooks at once; one more waits for `CONNECT_S`, then is refused."""
CONNECT_S: Final = 10.0
"""To resolve and connect; as much again for TLS."""
READ_S: Final = 20.0
"""Between two pieces of an answer."""
POST_S: Final = 30.0
"""For a webhook, all in all."""

WRITE_BYTES: Final = 256 * 1024
"""Written at once, in a thread: a write of 64 KiB stalls for up to 4 ms when the disk is busy, and
a thread for each would cost more than the writes do (measured)."""

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_TRY_LATER: Final = (408, 425, 429)
"""What a server answers, besides 5xx, that it may answer differently another time."""

_PHRASES: Final = {each.value: each.phrase for each in HTTPStatus}

_TIMEOUTS: Final = {"connect": CONNECT_S, "pool": CONNECT_S, "read": READ_S, "write": READ_S}


@dataclass(frozen=True, slots=True)
class Download:
    """What was written to the file."""

    filename: str
    """A label, no path and no promise of a format."""
    size: int
    """Bytes."""
    url: str
    """Where it was found, behind all redirects."""


@asynccontextmanager
async def open_fetcher(
    settings: Settings, *, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None
) -> AsyncIterator["Fetcher"]:
    """Own the connections while inside; leaving ends them.

    `tls` trusts what the system and certifi trust unless given. Raises `BadRequest` for a setting
    that makes no sense.
    """
    allowed = AllowList.of(settings.fetch_allow)
    async with httpcore.AsyncConnectionPool(
        # Reading the certificates takes 90 ms.
        ssl_context=tls or await anyio.to_thread.run_sync(httpcore.default_ssl_context),
        max_connections=MAX_CONNECTIONS,
        network_backend=CheckedNetwork(allowed, resolve, httpcore.AnyIOBackend()),
    ) as pool:
        yield Fetcher(pool, allowed, settings)


class Fetcher:
    """Asks other servers on behalf of clients; made by `open_fetcher`.

    Whatever is wrong with the URL or with the server behind it is a `BadRequest` with the parameter
    `url`: its subclass `RemoteFailed` says that the same URL may work later.
    """

    def __init__(
        self, pool: httpcore.AsyncConnectionPool, allowed: AllowList, settings: Settings
    ) -> None:
        self._pool = pool
        self._allowed = allowed
        self._settings = settings

    def check(self, url: str) -> None:
        """Refuse at once what would be refused whatever the name servers say.

        Raises `BadRequest`, or `Unsupported` if the operator has switched fetching off.
        """
        self._understood(url)

    async def download(self, url: str, into: BinaryIO) -> Download:
        """Write what is found at `url` to a file, at its current position.

        A failed download may have written a part. Raises `BadRequest`, `TooLarge` past the limit of
        uploads, `Overloaded` if too many downloads run already.
        """
        wanted = self._understood(url)
        with _deadline(wanted, self._settings.fetch_timeout_s):
            target = wanted
            for _ in range(MAX_REDIRECTS + 1):
                async with self._asked("GET", target) as answer:
                    headers = httpx.Headers(answer.headers)
                    if answer.status in _REDIRECTS and "location" in headers:
                        target = redirected(target, headers["location"])
                        continue
                    self._check_head(target, answer.status, headers)
                    size = await self._copied(target, answer, into)
                    label = filename(wanted, headers.get("content-disposition", ""))
                    return Download(label, size, str(target))
        message = (
            f"The URL leads to more than {MAX_REDIRECTS} redirects, from {host_of(wanted)} on."
        )
        raise BadRequest(message, param="url", code="url_fetch_failed")

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """Send `content` to a webhook; return the status it answers, redirects included.

        What else it answers is not read. Raises as `download` does.
        """
        target = self._understood(url)
        with _deadline(target, POST_S):
            async with self._asked("POST", target, headers, content) as answer:
                return answer.status

    def _understood(self, url: str) -> httpx.URL:
        """The URL, if it may be asked at all."""
        if not self._settings.fetch:
            raise Unsupported("This server fetches nothing from URLs.", param="url")
        parsed = parse(url)
        host = host_of(parsed)
        address = literal(host)
        if address and not self._allowed.permits(host, [address]):
            raise not_allowed(host)
        return parsed

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> AsyncIterator[httpcore.Response]:
        """The head of an answer, its body still to come; leaving closes the connection."""
        sent = httpx.Headers(headers)
        sent["host"] = url.netloc.decode("ascii")
        sent["user-agent"] = f"WhisperLive-Hybrid-Server/{__version__}"
        sent["accept-encoding"] = "identity"
        sent["connection"] = "close"  # each request is resolved, judged and connected anew
        with _translated(host_of(url)):
            async with self._pool.stream(
                method,
                httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=sent.raw,
                content=content,
                extensions={"timeout": _TIMEOUTS},
            ) as answer:
                yield answer

    def _check_head(self, url: httpx.URL, status: int, headers: httpx.Headers) -> None:
        """Refuse before reading what would be refused after it."""
        if status != HTTPStatus.OK:
            raise _unwanted(host_of(url), status)
        encoding = headers.get("content-encoding", "identity")
        if encoding.lower() not in ("identity", ""):
            raise BadRequest(
                f"The server at {host_of(url)} sends its file compressed ({encoding[:40]!r}), "
                "which is not read.",
                param="url",
                code="url_fetch_failed",
            )
        declared = int(headers.get("content-length", "0"))  # h11 lets only digits pass
        if declared > self._settings.max_upload_bytes:
            raise self._too_large(f"{declared} bytes declared by {host_of(url)}")

    async def _copied(self, url: httpx.URL, answer: httpcore.Response, into: BinaryIO) -> int:
        """Write the body to a file; return its size in bytes."""
        size = 0
        pending = bytearray()
        async for part in answer.aiter_stream():
            size += len(part)
            if size > self._settings.max_upload_bytes:
                raise self._too_large(f"{size} bytes read from {host_of(url)}")
            pending += part
            if len(pending) >= WRITE_BYTES:
                await anyio.to_thread.run_sync(into.write, bytes(pending))
                pending.clear()
        if not size:
            message = f"The server at {host_of(url)} sent an empty file."
            raise BadRequest(message, param="url", code="url_fetch_failed")
        await anyio.to_thread.run_sync(into.write, bytes(pending))
        return size

    def _too_large(self, seen: str) -> TooLarge:
        limit = self._settings.max_upload_bytes
        return TooLarge(f"Maximum content size limit ({limit}) exceeded ({seen})", param="url")


def _unwanted(host: str, status: int) -> BadRequest:
    """An answer that is no file; the words are ours, whatever the server said."""
    message = f"The server at {host} answered {status} {_PHRASES.get(status, '')}".rstrip() + "."
    if status >= 500 or status in _TRY_LATER:
        return remote_failed(message)
    return BadRequest(message, param="url", code="url_fetch_failed")


@contextmanager
def _deadline(url: httpx.URL, seconds: float) -> Iterator[None]:
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        message = f"The server at {host_of(url)} was not done within {seconds:g} s."
        raise remote_failed(message) from error


@contextmanager
def _translated(host: str) -> Iterator[None]:
    """Turn what httpcore raises while it waits, sends and reads into errors of ours."""
    try:
        yield
    except httpcore.PoolTimeout as error:
        message = "Too many downloads run at once; try again later."
        raise Overloaded(message, retry_after_s=CONNECT_S) from error
    except httpcore.TimeoutException as error:
        raise remote_failed(f"The server at {host} was silent for {READ_S:g} s.") from error
    except (httpcore.NetworkError, httpcore.RemoteProtocolError, ssl.SSLError) as error:
        # SSLError: httpcore leaves that of a spoilt record as it is.
        message = f"The server at {host} broke off its answer, or does not speak HTTP."
        raise remote_failed(message) from error
