import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from running_server import ended, start_server
from websockets.sync.client import connect

from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.server.descriptors import most_connections


def test_a_usual_limit_suits_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """1024 descriptors, the default of most systems, leave room for files, without a warning."""
    assert 256 < most_connections(Settings(), limit=1024) < 1024 - 64
    assert capsys.readouterr().out == ""


def test_more_descriptors_are_more_connections() -> None:
    """What is kept for files does not grow with the limit."""
    settings = Settings()
    few, many = (most_connections(settings, limit) for limit in (1024, 65536))
    assert many - few == 65536 - 1024


def test_a_limit_that_is_too_small_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The operator reads it at the start, not from the first refused client; half are served."""
    assert most_connections(Settings(), limit=128) == 64
    assert "ulimit -n" in capsys.readouterr().out
    assert most_connections(Settings(max_clients=2000), limit=1024) < 1024
    assert "ulimit -n" in capsys.readouterr().out


def test_the_process_has_a_limit() -> None:
    """Where none is given it is asked for."""
    assert most_connections(Settings()) > 0


@contextmanager
def few_descriptors(limit: int) -> Iterator[None]:
    """Let programs that are started inside have so few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_never_runs_out(tmp_path: Path) -> None:
    """Whoever comes when it is full is told so, and when they have gone it serves as before."""
    with few_descriptors(128):
        server = start_server(
            tmp_path,
            tmp_path / "log",
            WHISPERLIVE_CONNECTIONS_PER_ADDRESS="1000",
            WHISPERLIVE_MAX_UPLOADS="4",
            WHISPERLIVE_HEAD_S="60",
        )
    try:
        with ExitStack() as crowd:
            doors = [urlsplit(url) for url in (server.live_url, server.http_url)]
            for n in range(200):
                address = (doors[n % 2].hostname, doors[n % 2].port)
                crowd.enter_context(socket.create_connection(address))
            answer = httpx.get(f"{server.http_url}/health")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
            assert answer.json()["error"]["message"] == "Too many connections."
            assert len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) < 128
        assert eventually_healthy(server.http_url)
        with connect(server.live_url) as client:
            client.send('{"uid": "x"}')
            assert "SERVER_READY" in str(client.recv())
    finally:
        server.process.terminate()
        assert ended(server) == 0
    log = (tmp_path / "log").read_text()
    assert "ulimit -n" not in log
    assert log.count("connections refused") == 1
    assert "Traceback" not in log


def eventually_healthy(url: str) -> bool:
    """Whether the server answers, once it has seen that the others are gone."""
    return any(httpx.get(f"{url}/health").status_code == 200 for _ in range(100))
