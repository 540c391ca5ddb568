"""Where clients show their keys, for both doors."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Scope

BEARER: Final = "bearer"
"""The subprotocol beside which a browser puts its key: it can set no header on a WebSocket."""

_OPENAI: Final = "openai-insecure-api-key."
"""What OpenAI's own client puts before a key there."""


def read_bearer_token(authorization: str | None) -> list[str]:
    """The token of `Authorization: Bearer …`."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    return [token.strip()] if scheme.lower() == BEARER else []


def read_query_token(query: str) -> list[str]:
    """The first value of `?token=`."""
    return [value for name, value in parse_qsl(query) if name == "token"][:1]


def read_subprotocol_tokens(offered: Iterable[str]) -> list[str]:
    """What stands beside `bearer`, and keys as OpenAI's client sends them."""
    names = list(offered)
    beside = [name for name in names if name != BEARER] if BEARER in names else []
    return beside + [name.removeprefix(_OPENAI) for name in names if name.startswith(_OPENAI)]


def origin(scope: Scope) -> tuple[str, list[str]]:
    """The peer's address, "" for a Unix socket, and what its X-Forwarded-For headers say."""
    peer, _ = scope.get("client") or ("", 0)
    return peer, Headers(scope=scope).getlist("x-forwarded-for")
