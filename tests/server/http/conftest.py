"""What tests of routes share: a client of a door."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from asgi_client import client
from fastapi import FastAPI

from whisperlive_hybrid.engine.engine import Engine


@pytest.fixture
async def door(
    open_door: Callable[..., AbstractAsyncContextManager[tuple[FastAPI, Engine]]],
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a door with an instant backend, which may fetch from 127.0.0.1."""
    async with open_door() as (app, _), client(app) as connected:
        yield connected
