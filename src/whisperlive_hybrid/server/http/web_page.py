"""The web page at /: its files, its security policy, and the configuration that it loads."""

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
"""By suffix. The operating system's own table differs between machines, and browsers run no module
and no worklet of another type."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """The content of one file, and its media type."""

    content: bytes
    media_type: str


class PageFiles:
    """Every file below `server/web/`, and a sample recording, by their paths.

    `build` is a hash of all of them and part of their URLs, so a browser may cache each for ever
    and never mixes files of two versions.
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
        """Iterate over the paths."""
        return iter(self._files)

    def get(self, build: str, name: str) -> PageFile:
        """Return a file; raise `NotFound` for another build and for an unknown path."""
        if build != self.build or name not in self._files:
            raise NotFound(f"The page has no file {name[:80]!r} in this version; reload the page.")
        return self._files[name]

    def page(self, **values: str) -> str:
        """Return the page itself, with `values` in place of its `{{name}}`."""
        text = self._files[PAGE].content.decode()
        for name, value in values.items():
            text = text.replace(f"{{{{{name}}}}}", value)
        return text


def _read(directory: Traversable, prefix: str) -> Iterator[tuple[str, PageFile]]:
    """Yield the files below a directory, except those of an unknown type."""
    for entry in directory.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _read(entry, f"{path}/")
        elif (suffix := path.rpartition(".")[2]) in _TYPES:
            yield path, PageFile(entry.read_bytes(), _TYPES[suffix])


_HOST: Final = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])", re.IGNORECASE)
"""A name or an address as browsers send it; anything else could inject headers."""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """What the page must know of the server."""

    live_url: str
    """Where the live server is; empty for its own port on the host of the page."""
    has_live_tls: bool
    max_upload_bytes: int
    max_files: int
    """Files of one job."""
    max_connection_s: float
    fetches_urls: bool


def build_live_url(options: PageOptions, port: int, host: str, *, is_secure: bool) -> str | None:
    """Return the URL of the live server for a page requested at `host`; None for an invalid host.

    `port` is the port of the live server. `is_secure` says that the page was sent over HTTPS, from
    which browsers open no plain WebSocket.
    """
    if options.live_url:
        return options.live_url
    name = _HOST.match(host)
    if name is None or host[name.end() :].lstrip(":0123456789"):
        return None
    scheme = "wss" if options.has_live_tls or is_secure else "ws"
    return f"{scheme}://{name[0]}:{port}"


def build_page_headers(nonce: str, live: str | None) -> dict[str, str]:
    """Return the headers of the page; `nonce` is for the style of the waveform, `live` a URL."""
    address = urlsplit(live or "")
    servers = f"'self' {address.scheme}://{address.netloc}" if live else "'self'"
    # Only the page's own files, this server, and recordings that the user has picked.
    policy = [
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' 'nonce-{nonce}'",
        "img-src 'self' data:",
        "media-src blob:",
        f"connect-src {servers}",
        "worker-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return {
        "content-security-policy": "; ".join(policy),
        # The nonce changes, and a page must link files of its own version.
        "cache-control": "no-store",
        "vary": "accept",  # programs get JSON at the same path
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": (
            "microphone=(self), display-capture=(self), camera=(), geolocation=(), payment=()"
        ),
    }


TEST_FORM: Final = "/test_form.html"
"""The path of the page in the documentation of older servers."""

_FILE_HEADERS: Final = {
    "cache-control": "public, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}
"""The URL of a file holds the version of all files, so its content never changes."""


def wants_page(request: HTTPConnection) -> bool:
    """Return whether a browser sends the request: only browsers accept HTML by name."""
    accepted = request.headers.get("accept", "").lower().split(",")
    return any(entry.partition(";")[0].strip() == "text/html" for entry in accepted)


class WebPage:
    """The routes of the page: its older path, /web/config.json and /web/{build}/."""

    def __init__(
        self,
        options: PageOptions,
        capabilities: Capabilities,
        models: ModelNames,
        live_port: Callable[[], int],
    ) -> None:
        """`live_port` returns the port of the live server, once it listens."""
        self._options = options
        self._capabilities = capabilities
        self._models = models
        self._live_port = live_port
        self._files = PageFiles()

    def mount(self, app: FastAPI) -> None:
        """Add the routes, which are no part of the documented API."""
        app.get(TEST_FORM, include_in_schema=False)(self.form)
        app.get("/web/config.json", include_in_schema=False)(self.config)
        app.get("/web/{build}/{name:path}", include_in_schema=False)(self.file)

    def reply(self, request: Request) -> Response:
        """Return the page itself."""
        nonce = secrets.token_urlsafe(16)
        text = self._files.page(build=self._files.build, nonce=nonce)
        return HTMLResponse(text, headers=build_page_headers(nonce, self._live(request)))

    async def form(self, request: Request) -> Response:
        """Return the page under its older path, relative to which its links are the same."""
        return self.reply(request)

    async def file(self, build: str, name: str) -> Response:
        """Return one of its files."""
        file = self._files.get(build, name)
        return Response(file.content, media_type=file.media_type, headers=_FILE_HEADERS)

    async def config(self, request: Request) -> Response:
        """Return the configuration of the page, which is public."""
        options = self._options
        # Other models have languages of their own, so all of Whisper's are listed beside them.
        known = set(LANGUAGES) if self._models.others else self._capabilities.languages
        codes = sorted(known & set(LANGUAGES), key=LANGUAGES.__getitem__)
        body: Json = {
            "version": __version__,
            "live_url": self._live(request),
            "models": [self._models.first, *self._models.others],
            "model_note": self._capabilities.note,
            "languages": {code: LANGUAGES[code] for code in codes},
            "tasks": sorted(task.value for task in self._capabilities.tasks),
            "word_times": self._capabilities.word_times,
            "max_upload_bytes": options.max_upload_bytes,
            "max_files": options.max_files,
            "max_connection_s": options.max_connection_s,
            "fetches_urls": options.fetches_urls,
        }
        return JSONResponse(body, headers={"cache-control": "no-store"})

    def _live(self, request: Request) -> str | None:
        host = request.headers.get("host", "")
        is_secure = request.url.scheme == "https"
        return build_live_url(self._options, self._live_port(), host, is_secure=is_secure)
