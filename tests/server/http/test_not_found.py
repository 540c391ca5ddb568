"""WebSockets at paths that have no route, in the application and on a real port."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient, WebSocketDenialResponse
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from whisperlive_hybrid.engine.engine import Engine

OpenApp = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]]


@pytest.mark.parametrize("path", ["/", "/v1/realtime?intent=transcription", "/health", "/v1/jobs/"])
def test_an_upgrade_has_a_status_and_says_where_to_connect(served: str, path: str) -> None:
    """404, also where the path has a route for plain requests."""
    with pytest.raises(InvalidStatus) as refusal, connect(served.replace("http", "ws", 1) + path):
        pass
    response = refusal.value.response
    assert response.status_code == 404
    error = json.loads(response.body)["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert "connect to port 5050" in error["message"]
    assert response.headers["x-request-id"].startswith("req_")


def test_an_older_path_answers_in_its_own_shape(served: str) -> None:
    """As for every other error there."""
    with (
        pytest.raises(InvalidStatus) as refusal,
        connect(served.replace("http", "ws", 1) + "/transcribe"),
    ):
        pass
    assert json.loads(refusal.value.response.body)["success"] is False


@pytest.mark.anyio
async def test_the_public_address_is_named(open_app: OpenApp) -> None:
    """Behind a proxy the port is of no use."""
    settings = {"live_url": "wss://stt.example.org/live"}
    async with open_app(settings=settings) as (app, _):
        with (
            pytest.raises(WebSocketDenialResponse) as refusal,
            TestClient(app, base_url="http://server").websocket_connect("/v1/realtime"),
        ):
            pass
    assert "wss://stt.example.org/live" in refusal.value.text
