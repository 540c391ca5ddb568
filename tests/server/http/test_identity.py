"""Who asks over HTTP."""

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.testclient import TestClient

from whisperlive_hybrid.server.http.identity import Identify, caller_of


def test_a_route_knows_its_caller() -> None:
    """The address is the peer's, without its port."""

    async def who(request: Request) -> str:
        return caller_of(request).address

    app = FastAPI(middleware=[Middleware(Identify)])
    app.get("/who")(who)
    assert TestClient(app, client=("192.0.2.7", 4711)).get("/who").json() == "192.0.2.7"
