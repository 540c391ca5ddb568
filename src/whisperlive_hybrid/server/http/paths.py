"""Paths as clients write them: doubled slashes, Groq's base URL, Azure's deployments."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES: Final = re.compile(rb"/{2,}")
_GROQ: Final = re.compile(rb"/openai(/v1/.+)")
"""Groq's API, and Azure's newer one, which ends its base URL in the same way."""

_AZURE_MODELS: Final = re.compile(rb"/openai(/models(?:/.+)?)")
_AZURE_AUDIO: Final = re.compile(
    rb"/openai/deployments/([^/]+)(/audio/(?:transcriptions|translations))"
)

_IS_GROQ: Final = "is_groq_path"
_DEPLOYMENT: Final = "deployment"


class CanonicalPathMiddleware:
    """Rewrites the path of a request to that of its route.

    It stands outside of everything that reads the path, so that authentication, limits, the labels
    of metrics and the log know one path for each route. There is no redirect: clients would repeat
    a POST as GET, or without its body. Only slashes that are written as such count, and what is
    percent-encoded stays so in `raw_path`: `%2F` may be part of a model's name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on under its canonical path."""
        if scope["type"] != "lifespan" and scope["path"].startswith("/"):
            written: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
            raw, state = canonicalize_path(written)
            scope = {
                **scope,
                "path": unquote(raw.decode("latin-1")),
                "raw_path": raw,
                "state": {**scope.get("state", {}), **state},
            }
        await self._app(scope, receive, send)


def canonicalize_path(raw: bytes) -> tuple[bytes, Mapping[str, object]]:
    """Return the path of the route that `raw` means, and what else the path says."""
    path = _SLASHES.sub(b"/", raw).removesuffix(b"/") or b"/"
    if groq := _GROQ.fullmatch(path):
        return groq[1], {_IS_GROQ: True}
    if models := _AZURE_MODELS.fullmatch(path):
        return b"/v1" + models[1], {}
    if audio := _AZURE_AUDIO.fullmatch(path):
        return b"/v1" + audio[2], {_DEPLOYMENT: unquote(audio[1].decode("latin-1"))}
    return path, {}


def is_groq_path(connection: HTTPConnection) -> bool:
    """Return whether a client has used Groq's base URL."""
    return bool(connection.scope["state"].get(_IS_GROQ))


def deployment_of(connection: HTTPConnection) -> str | None:
    """Return the deployment that a path in Azure's manner names: there it stands for the model."""
    name: str | None = connection.scope["state"].get(_DEPLOYMENT)
    return name
