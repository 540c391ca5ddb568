"""Connections for httpcore to addresses that the allow-list permits.

The name is resolved once, all its addresses are checked, and the connection is made to one of them:
a name server that returns other addresses the second time (DNS rebinding) gets no second request.
TLS still checks the certificate against the name.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import Final

import anyio
import httpcore

from whisperlive_hybrid.auth.network import Address, unmap
from whisperlive_hybrid.errors import BadRequest, RemoteFailed
from whisperlive_hybrid.fetch.addresses import AllowList

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Return the addresses of a host and port in the order to try them; raises OSError."""

SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)

MOST_ADDRESSES: Final = 4
"""Addresses of one host that are tried; the timeout is divided among them."""


async def resolve(host: str, port: int) -> list[str]:
    """Return all addresses of a host from the system's resolver."""
    infos = await anyio.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    return [address for *_, (address, _) in infos]


def forbidden_error(host: str) -> BadRequest:
    """Return the error for a forbidden host; the message does not contain the address."""
    message = f"The host {host} may not be reached: its address is not public."
    return BadRequest(message, param="url", code="url_not_allowed")


def remote_error(message: str) -> RemoteFailed:
    """Return the error for a failure of a host or of the connection to it."""
    return RemoteFailed(message, param="url", code="url_fetch_failed")


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """A network backend that checks addresses; raises `BadRequest` and `RemoteFailed` only."""

    def __init__(
        self, allowed: AllowList, resolve: Resolve, inner: httpcore.AsyncNetworkBackend
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's signature)
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first permitted address that accepts; `timeout` is for all together."""
        try:
            with anyio.fail_after(timeout):
                addresses = (await self._resolve_permitted(host, port))[:MOST_ADDRESSES]
                share = None if timeout is None else timeout / len(addresses)
                failure: Exception | None = None
                for address in addresses:
                    try:
                        stream = await self._inner.connect_tcp(
                            str(address), port, share, local_address, socket_options
                        )
                    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                        failure = error
                    else:
                        return _CheckedStream(stream, host)
                raise _explain_connect_error(host, failure) from failure
        except TimeoutError as error:
            raise _explain_connect_error(host, error) from error

    async def _resolve_permitted(self, host: str, port: int) -> Sequence[Address]:
        """Return at least one address, if all addresses of the host are permitted."""
        try:
            texts = await self._resolve(host, port)
        except OSError as error:
            raise remote_error(f"The host {host} does not resolve to an address.") from error
        addresses = list(dict.fromkeys(unmap(ip_address(text)) for text in texts))
        if not self._allowed.permits(host, addresses):
            raise forbidden_error(host)
        if not addresses:
            raise remote_error(f"The host {host} does not resolve to an address.")
        return addresses


class _CheckedStream(httpcore.AsyncNetworkStream):
    """A connection that is closed if its TLS handshake fails or is cancelled.

    httpcore leaves its own connection open when cancelled (measured with 1.0.9), so clients that
    disconnect would leak sockets.
    """

    def __init__(self, inner: httpcore.AsyncNetworkStream, host: str) -> None:
        self._inner = inner
        self._host = host

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's signature)
    ) -> httpcore.AsyncNetworkStream:
        """Return an encrypted connection to a host whose certificate has its name."""
        is_open = False
        try:
            stream = await self._inner.start_tls(ssl_context, server_hostname, timeout)
            is_open = True
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            for cause in _iterate_causes(error):
                if isinstance(cause, ssl.SSLCertVerificationError):
                    reason = cause.verify_message.rstrip(".")
                    message = f"The TLS certificate of {self._host} is not accepted: {reason}."
                    raise remote_error(message) from error
            raise remote_error(f"The server at {self._host} failed to set up TLS.") from error
        finally:
            if not is_open:
                with anyio.CancelScope(shield=True):
                    await self._inner.aclose()
        return stream

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


def _explain_connect_error(host: str, error: Exception | None) -> RemoteFailed:
    if any(isinstance(cause, ConnectionRefusedError) for cause in _iterate_causes(error)):
        return remote_error(f"The server at {host} refused the connection.")
    if isinstance(error, TimeoutError | httpcore.ConnectTimeout):
        return remote_error(f"The server at {host} did not accept a connection in time.")
    return remote_error(f"The server at {host} cannot be reached.")


def _iterate_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes."""
    while error:
        yield error
        error = error.__cause__
