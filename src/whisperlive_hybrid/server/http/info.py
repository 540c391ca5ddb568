"""The routes that describe the server: its index, its health and its models."""

import time
from collections.abc import Callable
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from whisperlive_hybrid import __version__
from whisperlive_hybrid.engine.client import EngineClient
from whisperlive_hybrid.model_pool import ModelPool
from whisperlive_hybrid.protocol.openai import response as bodies
from whisperlive_hybrid.server.http.error_handlers import LEGACY_PATH
from whisperlive_hybrid.server.http.schemas import ModelCard, ModelList
from whisperlive_hybrid.server.http.web_page import WebPage, wants_page

SERVICE: Final = "WhisperLive Hybrid Server"


class InfoRoutes:
    """/, /health and /v1/models."""

    def __init__(
        self, engine: EngineClient, pool: ModelPool, live_clients: Callable[[], int], page: WebPage
    ) -> None:
        """`live_clients` returns the number of live streams; `page` is for browsers at /."""
        self._engine = engine
        self._pool = pool
        self._live_clients = live_clients
        self._page = page
        self._since = int(time.time())

    def mount(self, app: FastAPI) -> None:
        """Add the routes."""
        app.get("/")(self.index)
        app.get("/health")(self.health)
        app.get("/v1/models", responses={200: {"model": ModelList}})(self.models)
        app.get("/v1/models/{model:path}", responses={200: {"model": ModelCard}})(self.model)

    async def index(self, request: Request) -> Response:
        """Return the list of endpoints; for browsers, the page."""
        if wants_page(request):
            return self._page.reply(request)
        body = {
            "service": SERVICE,
            "version": __version__,
            "endpoints": [
                "GET /health",
                "GET /ready",
                "GET /metrics",
                "GET /v1/server",
                "GET /openapi.json",
                "GET /v1/models",
                "POST /v1/audio/transcriptions",
                "POST /v1/audio/translations",
                f"POST {LEGACY_PATH}",
                f"POST {LEGACY_PATH}/url",
                "POST /v1/jobs",
                "GET /v1/jobs",
                "GET /v1/usage",
            ],
        }
        # Caches must not send the page to programs, nor this to browsers.
        return JSONResponse(body, headers={"vary": "accept"})

    async def health(self) -> bodies.Json:
        """Return the server's version, models, backend and load."""
        capabilities = self._engine.capabilities
        return {
            "status": "healthy",
            "service": SERVICE,
            "version": __version__,
            "model": {"name": capabilities.model, "note": capabilities.note},
            "models_in_memory": list(self._pool.in_memory),
            "backend": capabilities.backend,
            "device": capabilities.device,
            "compute_type": capabilities.compute_type,
            "queue_depth": self._engine.queue_depth,
            "live_clients": self._live_clients(),
        }

    async def models(self) -> bodies.Json:
        """List the names that requests may use as `model`."""
        return bodies.model_list(self._pool.names, self._since)

    async def model(self, model: str) -> bodies.Json:
        """Return one of those names; it may hold slashes, as on Hugging Face."""
        self._pool.names.resolve(model)
        return bodies.model_card(model, self._since)
