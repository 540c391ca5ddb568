"""Temporary files that a test does not lose sight of."""

from tempfile import SpooledTemporaryFile
from typing import Any

import pytest
from starlette.formparsers import MultiPartParser

from whisperlive_hybrid.server.http.forms import _WholeForm


class WatchedFile(SpooledTemporaryFile[bytes]):
    """One that is not forgotten when it is closed."""

    opened: list["WatchedFile"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (those of its base)
        super().__init__(*args, **kwargs)
        self.opened.append(self)


def watch_uploads(monkeypatch: pytest.MonkeyPatch) -> list[WatchedFile]:
    """Every temporary file of an upload from now on; more than 1000 bytes lie on the disk."""
    opened: list[WatchedFile] = []
    monkeypatch.setattr(WatchedFile, "opened", opened, raising=False)
    monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", WatchedFile)
    for parser in (MultiPartParser, _WholeForm):
        monkeypatch.setattr(parser, "spool_max_size", 1000)
    return opened
