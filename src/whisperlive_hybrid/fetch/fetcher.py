"""Downloads from URLs of clients, and posts to their webhooks, with limits on time and size.

httpcore is used without httpx's client, since it has none of the features that would have to be
disabled: automatic redirects, proxies from the environment, cookies, netrc, decompression.
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
from whisperlive_hybrid.config import FetchSettings
from whisperlive_hybrid.errors import BadRequest, Overloaded, TooLarge, Unsupported
from whisperlive_hybrid.fetch.addresses import AllowList, parse_literal
from whisperlive_hybrid.fetch.network import (
    CheckedNetwork,
    Resolve,
    forbidden_error,
    remote_error,
    resolve,
)
from whisperlive_hybrid.fetch.urls import get_host, parse, pick_filename, resolve_redirect

MAX_REDIRECTS: Final = 5
MAX_CONNECTIONS: Final = 32
"""Downloads and webhooks at once; one more waits for `CONNECT_S` and is then refused."""
CONNECT_S: Final = 10.0
"""Timeout in seconds for resolving and connecting; the same again for TLS."""
READ_S: Final = 20.0
"""Timeout in seconds between two parts of a response."""
POST_S: Final = 30.0
"""Timeout in seconds for a webhook in all."""

WRITE_BYTES: Final = 256 * 1024
"""Bytes per write, in a thread: a write of 64 KiB blocks for up to 4 ms when the disk is busy, and
a thread for each part would take longer than the writes (measured)."""

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_TRY_LATER: Final = (408, 425, 429)
"""Statuses, besides 5xx, after which the same request may succeed later."""

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

_TIMEOUTS: Final = {"connect": CONNECT_S, "pool": CONNECT_S, "read": READ_S, "write": READ_S}


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """The file that was written."""

    filename: str
    """A name for display: no path, and no evidence of the format."""
    size: int
    """Bytes."""
    url: str
    """The URL after all redirects."""


@asynccontextmanager
async def open_fetcher(
    settings: FetchSettings,
    max_bytes: int,
    *,
    resolve: Resolve = resolve,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator["UrlFetcher"]:
    """Open a pool of connections while inside.

    The default of `tls` trusts the certificates of the system and of certifi. Raises `BadRequest`
    for an invalid setting.
    """
    allowed = AllowList.parse(settings.fetch_allow)
    async with httpcore.AsyncConnectionPool(
        # In a thread: loading the certificates takes 90 ms.
        ssl_context=tls or await anyio.to_thread.run_sync(httpcore.default_ssl_context),
        max_connections=MAX_CONNECTIONS,
        network_backend=CheckedNetwork(allowed, resolve, httpcore.AnyIOBackend()),
    ) as pool:
        yield UrlFetcher(pool, allowed, settings, max_bytes)


class UrlFetcher:
    """Requests to other servers on behalf of clients; created by `open_fetcher`.

    An error of the URL or of its server is a `BadRequest` with the parameter `url`; its subclass
    `RemoteFailed` means that the same URL may work later.
    """

    def __init__(
        self,
        pool: httpcore.AsyncConnectionPool,
        allowed: AllowList,
        settings: FetchSettings,
        max_bytes: int,
    ) -> None:
        self._pool = pool
        self._allowed = allowed
        self._settings = settings
        self._max_bytes = max_bytes

    def check(self, url: str) -> None:
        """Check a URL without resolving its host.

        Raises `BadRequest`, or `Unsupported` if the operator has disabled fetching.
        """
        self._parse_url(url)

    async def download(self, url: str, into: BinaryIO) -> DownloadedFile:
        """Download `url` to a file, from its current position on.

        A failed download may have written a part. Raises `BadRequest`, `TooLarge` beyond the limit
        of uploads, `Overloaded` if too many downloads are running.
        """
        origin = self._parse_url(url)
        with _deadline(origin, self._settings.fetch_timeout_s):
            target = origin
            for _ in range(MAX_REDIRECTS + 1):
                async with self._request("GET", target) as response:
                    headers = httpx.Headers(response.headers)
                    if response.status in _REDIRECTS and "location" in headers:
                        target = resolve_redirect(target, headers["location"])
                        continue
                    self._check_head(target, response.status, headers)
                    size = await self._save_body(target, response, into)
                    label = pick_filename(origin, headers.get("content-disposition", ""))
                    return DownloadedFile(label, size, str(target))
        message = (
            f"The URL leads to more than {MAX_REDIRECTS} redirects, from {get_host(origin)} on."
        )
        raise BadRequest(message, param="url", code="url_fetch_failed")

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """Send `content` to a webhook; return the status, also that of a redirect.

        The body of the response is not read. Raises the errors of `download`.
        """
        target = self._parse_url(url)
        with _deadline(target, POST_S):
            async with self._request("POST", target, headers, content) as response:
                return response.status

    def _parse_url(self, url: str) -> httpx.URL:
        """Return the URL if it is valid and not of a forbidden address."""
        if not self._settings.fetch:
            raise Unsupported("This server fetches nothing from URLs.", param="url")
        parsed = parse(url)
        host = get_host(parsed)
        address = parse_literal(host)
        if address and not self._allowed.permits(host, [address]):
            raise forbidden_error(host)
        return parsed

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> AsyncIterator[httpcore.Response]:
        """Send a request and yield the response before its body; leaving closes the connection.

        Errors of httpcore, also while the body is read, are raised as ours.
        """
        host = get_host(url)
        sent = httpx.Headers(headers)
        sent["host"] = url.netloc.decode("ascii")
        sent["user-agent"] = f"WhisperLive-Hybrid-Server/{__version__}"
        sent["accept-encoding"] = "identity"
        sent["connection"] = "close"  # each request is resolved, checked and connected again
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        extensions = {"timeout": _TIMEOUTS}
        try:
            async with self._pool.stream(
                method, target, headers=sent.raw, content=content, extensions=extensions
            ) as response:
                yield response
        except httpcore.PoolTimeout as error:
            message = "Too many downloads run at once; try again later."
            raise Overloaded(message, retry_after_s=CONNECT_S) from error
        except httpcore.TimeoutException as error:
            raise remote_error(f"The server at {host} was silent for {READ_S:g} s.") from error
        except (httpcore.NetworkError, httpcore.RemoteProtocolError, ssl.SSLError) as error:
            # SSLError: httpcore does not translate that of a damaged record.
            message = f"The server at {host} broke off its answer, or does not speak HTTP."
            raise remote_error(message) from error

    def _check_head(self, url: httpx.URL, status: int, headers: httpx.Headers) -> None:
        """Raise the error for a response whose body is not to be read."""
        host = get_host(url)
        if status != HTTPStatus.OK:
            # Our words only: the server's body is not passed on.
            message = f"The server at {host} answered {status} {_PHRASES.get(status, '')}".rstrip()
            if status >= 500 or status in _TRY_LATER:
                raise remote_error(f"{message}.")
            raise BadRequest(f"{message}.", param="url", code="url_fetch_failed")
        encoding = headers.get("content-encoding", "identity")
        if encoding.lower() not in ("identity", ""):
            raise BadRequest(
                f"The server at {host} sends its file compressed ({encoding[:40]!r}), "
                "which is not supported.",
                param="url",
                code="url_fetch_failed",
            )
        declared = int(headers.get("content-length", "0"))  # h11 accepts only digits
        if declared > self._max_bytes:
            raise self._too_large(f"{declared} bytes declared by {host}")

    async def _save_body(self, url: httpx.URL, response: httpcore.Response, into: BinaryIO) -> int:
        """Write the body to a file and return its size in bytes."""
        size = 0
        pending = bytearray()
        async for part in response.aiter_stream():
            size += len(part)
            if size > self._max_bytes:
                raise self._too_large(f"{size} bytes read from {get_host(url)}")
            pending += part
            if len(pending) >= WRITE_BYTES:
                await anyio.to_thread.run_sync(into.write, bytes(pending))
                pending.clear()
        if not size:
            message = f"The server at {get_host(url)} sent an empty file."
            raise BadRequest(message, param="url", code="url_fetch_failed")
        await anyio.to_thread.run_sync(into.write, bytes(pending))
        return size

    def _too_large(self, seen: str) -> TooLarge:
        limit = self._max_bytes
        return TooLarge(f"Maximum content size limit ({limit}) exceeded ({seen})", param="url")


@contextmanager
def _deadline(url: httpx.URL, seconds: float) -> Iterator[None]:
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        message = f"The server at {get_host(url)} was not done within {seconds:g} s."
        raise remote_error(message) from error
