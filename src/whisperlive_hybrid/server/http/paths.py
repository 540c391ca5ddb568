"""Canonical paths for those that clients send: doubled slashes, Groq's and Azure's base URLs."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES: Final = re.compile(rb"/{2,}")
_GROQ: Final = re.compile(rb"/openai(/v1/.+)")
"""Groq's API, and Azure's newer one, whose base URL ends in the same way."""

_AZURE_MODELS: Final = re.compile(rb"/openai(/models(?:/.+)?)")
_AZURE_AUDIO: Final = re.compile(
    rb"/openai/deployments/([^/]+)(/audio/(?:transcriptions|translations))"
)

_IS_GROQ: Final = "is_groq_path"
_DEPLOYMENT: Final = "deployment"


class CanonicalPathMiddleware:
    """Rewrites the path of a request to that of its route.

    It is the outermost middleware, so that authentication, limits, metrics and the log see one path
    for each route. It does not redirect: clients would repeat a POST as GET, or without its body.
    Only literal slashes count, and percent-encoded characters stay so in `raw_path`: `%2F` may be
    part of a model's name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite the path of a request."""
        if scope["type"] != "lifespan" and scope["path"].startswith("/"):
            written: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
            raw, state = canonicalize_path(written)
            scope = {
                **scope,
                # ASGI has the path twice: decoded here, as sent in `raw_path`.
                "path": unquote(raw.decode("latin-1")),
                "raw_path": raw,
                "state": {**scope.get("state", {}), **state},
            }
        await self._app(scope, receive, send)


def canonicalize_path(raw: bytes) -> tuple[bytes, Mapping[str, object]]:
    """Return the path of the route for `raw`, and the state that the path implies."""
    path = _SLASHES.sub(b"/", raw).removesuffix(b"/") or b"/"
    if groq := _GROQ.fullmatch(path):
        return groq[1], {_IS_GROQ: True}
    if models := _AZURE_MODELS.fullmatch(path):
        return b"/v1" + models[1], {}
    if audio := _AZURE_AUDIO.fullmatch(path):
        return b"/v1" + audio[2], {_DEPLOYMENT: unquote(audio[1].decode("latin-1"))}
    return path, {}


def is_groq_path(connection: HTTPConnection) -> bool:
    """Return whether the client uses Groq's base URL."""
    return bool(connection.scope["state"].get(_IS_GROQ))


def deployment_of(connection: HTTPConnection) -> str | None:
    """Return the deployment in a path of Azure's form, where it stands for the model."""
    name: str | None = connection.scope["state"].get(_DEPLOYMENT)
    return name
