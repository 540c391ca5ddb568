"""The web page at /: its files, and what it must know of the server before it can begin."""

import secrets
from collections.abc import Callable
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from whisperlive_hybrid import __version__
from whisperlive_hybrid.backends.base import Capabilities
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.languages import LANGUAGES
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.openai.bodies import Json
from whisperlive_hybrid.server.http.page_files import PageFiles
from whisperlive_hybrid.server.http.page_policy import live_address, page_headers

TEST_FORM: Final = "/test_form.html"
"""The page's address in the documentation of older servers."""

_FILE_HEADERS: Final = {
    "cache-control": "public, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}
"""The address of a file holds the version of them all, so it never changes."""


def wants_page(request: Request) -> bool:
    """Whether a browser asks, and no program: only they name HTML among what they accept."""
    accepted = request.headers.get("accept", "").lower()
    return any(each.partition(";")[0].strip() == "text/html" for each in accepted.split(","))


class Page:
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
        return HTMLResponse(text, headers=page_headers(nonce, self._live(request)))

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
        return live_address(self._settings, self._live_port(), host, is_secure=is_secure)
