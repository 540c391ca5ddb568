"""The web page at /: its files, and what it must know of the server before it can begin."""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from whisperlive_hybrid import __version__
from whisperlive_hybrid.backends.base import Capabilities
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.errors import NotFound
from whisperlive_hybrid.languages import LANGUAGES
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.openai.response import Json

PAGE: Final = "index.html"
SAMPLE: Final = "sample.flac"

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "flac": "audio/flac",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
"""By suffix. The operating system's own table differs from machine to machine, and browsers run no
module and no worklet of another type."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    content: bytes
    media_type: str


class PageFiles:
    """Every file below `server/web/`, and a sample to try, by their paths.

    `build` is made of all of them and stands in their addresses, so a browser may keep each for
    ever and never puts files of two versions together.
    """

    def __init__(self) -> None:
        package = files("whisperlive_hybrid")
        self._files = dict(_read(package / "server" / "web", ""))
        sample = package / "assets" / "samples" / "en.flac"
        self._files[SAMPLE] = PageFile(sample.read_bytes(), _TYPES["flac"])
        digest = hashlib.sha256()
        for name in sorted(self._files):
            digest.update(name.encode() + b"\0" + self._files[name].content + b"\0")
        self.build = digest.hexdigest()[:16]

    def __iter__(self) -> Iterator[str]:
        """The paths."""
        return iter(self._files)

    def get(self, build: str, name: str) -> PageFile:
        """One file; raises `NotFound` for another build's and for what is none."""
        if build != self.build or name not in self._files:
            raise NotFound(f"The page has no file {name[:80]!r} in this version; load it anew.")
        return self._files[name]

    def page(self, **values: str) -> str:
        """The page itself, with `values` put where its text says `{{name}}`."""
        text = self._files[PAGE].content.decode()
        for name, value in values.items():
            text = text.replace(f"{{{{{name}}}}}", value)
        return text


def _read(directory: Traversable, prefix: str) -> Iterator[tuple[str, PageFile]]:
    """The files below a directory; those whose type nobody would know are not for sending."""
    for entry in directory.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _read(entry, f"{path}/")
        elif (suffix := path.rpartition(".")[2]) in _TYPES:
            yield path, PageFile(entry.read_bytes(), _TYPES[suffix])


_HOST: Final = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])", re.IGNORECASE)
"""A name or an address as browsers send it; anything else could write into our headers."""


def build_live_url(settings: Settings, port: int, host: str, *, is_secure: bool) -> str | None:
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


def build_page_headers(nonce: str, live: str | None) -> dict[str, str]:
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


TEST_FORM: Final = "/test_form.html"
"""The page's address in the documentation of older servers."""

_FILE_HEADERS: Final = {
    "cache-control": "public, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}
"""The address of a file holds the version of them all, so it never changes."""


def wants_page(request: HTTPConnection) -> bool:
    """Whether a browser asks, and no program: only they name HTML among what they accept."""
    accepted = request.headers.get("accept", "").lower()
    return any(each.partition(";")[0].strip() == "text/html" for each in accepted.split(","))


class WebPage:
    """The page, its older address, /web/config.json and /web/{build}/."""

    def __init__(
        self,
        settings: Settings,
        able: Capabilities,
        models: ModelNames,
        live_port: Callable[[], int],
    ) -> None:
        """`live_port` tells where the live door listens; it is asked when it does."""
        self._settings = settings
        self._able = able
        self._models = models
        self._live_port = live_port
        self._files = PageFiles()

    def mount(self, app: FastAPI) -> None:
        """Add the routes; they are the page's own and no part of the documented API."""
        app.get(TEST_FORM, include_in_schema=False)(self.form)
        app.get("/web/config.json", include_in_schema=False)(self.config)
        app.get("/web/{build}/{name:path}", include_in_schema=False)(self.file)

    def reply(self, request: Request) -> Response:
        """The page itself."""
        nonce = secrets.token_urlsafe(16)
        text = self._files.page(build=self._files.build, nonce=nonce)
        return HTMLResponse(text, headers=build_page_headers(nonce, self._live(request)))

    async def form(self, request: Request) -> Response:
        """The page under its older address; its links are relative to the same place."""
        return self.reply(request)

    async def file(self, build: str, name: str) -> Response:
        """One of its files."""
        found = self._files.get(build, name)
        return Response(found.content, media_type=found.media_type, headers=_FILE_HEADERS)

    async def config(self, request: Request) -> Response:
        """What the page must know: nothing that a caller without a key may not know."""
        return JSONResponse(self._config(request), headers={"cache-control": "no-store"})

    def _config(self, request: Request) -> Json:
        settings = self._settings
        return {
            "version": __version__,
            "live_url": self._live(request),
            "models": [self._models.first, *self._models.others],
            "model_note": self._able.note,
            "languages": {code: LANGUAGES[code] for code in self._languages()},
            "tasks": sorted(task.value for task in self._able.tasks),
            "word_times": self._able.word_times,
            "max_upload_bytes": settings.max_upload_bytes,
            "max_files": settings.job_files,
            "max_connection_s": settings.max_connection_s,
            "fetches_urls": settings.fetch,
        }

    def _languages(self) -> list[str]:
        """Those of the one model; all of Whisper's if others are offered, which know their own."""
        known = set(LANGUAGES) if self._models.others else self._able.languages
        return sorted(known & set(LANGUAGES), key=LANGUAGES.__getitem__)

    def _live(self, request: Request) -> str | None:
        host = request.headers.get("host", "")
        is_secure = request.url.scheme == "https"
        return build_live_url(self._settings, self._live_port(), host, is_secure=is_secure)
