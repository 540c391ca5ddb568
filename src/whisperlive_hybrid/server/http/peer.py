"""Where a request comes from, as the head of it and its connection say."""

from starlette.datastructures import Headers
from starlette.types import Scope


def origin(scope: Scope) -> tuple[str, list[str]]:
    """The peer's address, "" for a Unix socket, and what its X-Forwarded-For headers say."""
    peer, _ = scope.get("client") or ("", 0)
    return peer, Headers(scope=scope).getlist("x-forwarded-for")
