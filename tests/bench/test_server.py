"""A server as a child process."""

import sys

import pytest

from whisperlive_hybrid.bench import server as serving
from whisperlive_hybrid.errors import ModelUnavailable

pytestmark = pytest.mark.anyio


async def test_the_child_announces_its_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses come from what the server announces; it is stopped at the end."""
    program = (
        "import sys; print('Live server  ws://localhost:5\\nHTTP server  http://localhost:80 (x)', "
        "flush=True); sys.stdin.read()"
    )
    monkeypatch.setattr(serving, "_PROGRAM", (sys.executable, "-c", program))
    async with serving.start_server("demo") as server:
        assert (server.url, server.http_url) == ("ws://127.0.0.1:5", "http://127.0.0.1:80")
        assert server.pid > 0


async def test_a_server_that_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended before it was ready."""
    monkeypatch.setattr(serving, "_PROGRAM", (sys.executable, "-c", "pass"))
    with pytest.raises(ModelUnavailable, match="ended before it was ready"):
        async with serving.start_server("demo"):
            pass
