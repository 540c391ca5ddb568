"""An HTTP client for an ASGI app in the same process, for tests of routes."""

import httpx
from fastapi import FastAPI


def client(app: FastAPI) -> httpx.AsyncClient:
    """Return a client of `app`; an exception in it becomes a response."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://door")
