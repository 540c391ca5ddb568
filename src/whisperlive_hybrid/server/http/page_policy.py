"""What a browser may do with the page: its headers, and the one other address that it calls."""

import re
from typing import Final
from urllib.parse import urlsplit

from whisperlive_hybrid.config import Settings

_HOST: Final = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])", re.IGNORECASE)
"""A name or an address as browsers send it; anything else could write into our headers."""


def live_address(settings: Settings, port: int, host: str, *, is_secure: bool) -> str | None:
    """Where a page that was asked for at `host` finds the live door; None if `host` is no host.

    `port` is the one that the live door listens on. `is_secure` says that the page came over HTTPS,
    from which browsers open no plain WebSocket.
    """
    if settings.live_url:
        return settings.live_url
    name = _HOST.match(host)
    if name is None or host[name.end() :].lstrip(":0123456789"):
        return None
    scheme = "wss" if settings.ssl or is_secure else "ws"
    return f"{scheme}://{name[0]}:{port}"


def page_headers(nonce: str, live: str | None) -> dict[str, str]:
    """The headers of the page; `nonce` is for the style of the waveform, `live` the live door."""
    return {
        "content-security-policy": _policy(nonce, live),
        # The nonce is new each time, and what a page names must be of the same version.
        "cache-control": "no-store",
        "vary": "accept",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": (
            "microphone=(self), display-capture=(self), camera=(), geolocation=(), payment=()"
        ),
    }


def _policy(nonce: str, live: str | None) -> str:
    """Nothing but our own files, our own doors, and recordings that the user has picked."""
    address = urlsplit(live or "")
    doors = f"'self' {address.scheme}://{address.netloc}" if live else "'self'"
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{nonce}'",
            "img-src 'self' data:",
            "media-src blob:",
            f"connect-src {doors}",
            "worker-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
