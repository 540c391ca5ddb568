"""Who asks over HTTP."""

from collections.abc import Sequence

import httpx
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.testclient import TestClient

from whisperlive_hybrid.access.addresses import Proxies
from whisperlive_hybrid.server.http.identity import Identify, caller_of


def test_a_route_knows_its_caller() -> None:
    """The address is the peer's, without its port."""
    assert asked(Proxies(), "192.0.2.7") == "192.0.2.7"


def test_a_trusted_proxy_tells_who_asks() -> None:
    """Several headers are read as one, and nobody else's are read at all."""
    proxies = Proxies.of("192.0.2.0/24")
    said = [("X-Forwarded-For", "198.51.100.1, 203.0.113.9"), ("X-Forwarded-For", "192.0.2.8")]
    assert asked(proxies, "192.0.2.7", said) == "203.0.113.9"
    assert asked(proxies, "198.51.100.7", said) == "198.51.100.7"


def asked(proxies: Proxies, peer: str, headers: Sequence[tuple[str, str]] = ()) -> str:
    """The caller's address as a route sees it."""

    async def who(request: Request) -> str:
        return caller_of(request).address

    app = FastAPI(middleware=[Middleware(Identify, proxies=proxies)])
    app.get("/who")(who)
    # With a list, headers of one name stay apart.
    reply = TestClient(app, client=(peer, 4711)).get("/who", headers=httpx.Headers(list(headers)))
    address = reply.json()
    assert isinstance(address, str)
    return address
