"""A client of the HTTP door inside the process, for tests of its routes."""

import httpx
from fastapi import FastAPI


def client(app: FastAPI) -> httpx.AsyncClient:
    """A client inside the process; a defect is a reply, not an exception."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://door")
