"""A client of the HTTP server, for tests of routes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from asgi_client import client
from fastapi import FastAPI

from whisperlive_hybrid.engine.engine import Engine


@pytest.fixture
async def http(
    open_app: Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]],
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server with an instant backend, which may fetch from 127.0.0.1."""
    async with open_app() as (app, _), client(app) as connected:
        yield connected
