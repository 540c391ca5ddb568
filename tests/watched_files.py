"""Temporary files of uploads, recorded for tests."""

from tempfile import SpooledTemporaryFile
from typing import Any

import pytest
from starlette.formparsers import MultiPartParser

from whisperlive_hybrid.server.http.forms import _WholeForm


class WatchedFile(SpooledTemporaryFile[bytes]):
    """A temporary file that is recorded in `opened`."""

    opened: list["WatchedFile"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (those of its base)
        super().__init__(*args, **kwargs)
        self.opened.append(self)


def watch_uploads(monkeypatch: pytest.MonkeyPatch) -> list[WatchedFile]:
    """Return a list of the temporary files of later uploads; 1000 bytes of each are in memory."""
    opened: list[WatchedFile] = []
    monkeypatch.setattr(WatchedFile, "opened", opened, raising=False)
    monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", WatchedFile)
    for parser in (MultiPartParser, _WholeForm):
        monkeypatch.setattr(parser, "spool_max_size", 1000)
    return opened
