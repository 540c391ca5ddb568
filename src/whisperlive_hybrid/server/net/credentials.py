"""Where a request carries its key and its client's address, for HTTP and live servers."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Scope

BEARER: Final = "bearer"
"""The subprotocol that marks a key: a browser can set no header on a WebSocket."""

_OPENAI: Final = "openai-insecure-api-key."
"""The prefix of a key among the subprotocols of OpenAI's own client."""


def read_bearer_token(authorization: str | None) -> list[str]:
    """Return the token of `Authorization: Bearer …`."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    return [token.strip()] if scheme.lower() == BEARER else []


def read_query_token(query: str) -> list[str]:
    """Return the first value of `?token=`."""
    return [value for name, value in parse_qsl(query) if name == "token"][:1]


def read_subprotocol_tokens(offered: Iterable[str]) -> list[str]:
    """Return the subprotocols beside `bearer`, and the keys of OpenAI's client."""
    names = list(offered)
    beside = [name for name in names if name != BEARER] if BEARER in names else []
    return beside + [name.removeprefix(_OPENAI) for name in names if name.startswith(_OPENAI)]


def read_peer(scope: Scope) -> tuple[str, list[str]]:
    """Return the peer's address, "" for a Unix socket, and its X-Forwarded-For headers."""
    peer, _ = scope.get("client") or ("", 0)
    return peer, Headers(scope=scope).getlist("x-forwarded-for")
