import resource
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from running_server import PROGRAM, start_server, wait_for_exit
from websockets.sync.client import connect

from whisperlive_hybrid.server.process import max_connections, raise_descriptor_limit


def test_a_usual_limit_suits_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """1024 descriptors, the default of most systems, leave room for files, without a warning."""
    assert 256 < max_connections(32, 64, limit=1024) < 1024 - 64
    assert capsys.readouterr().out == ""


def test_more_descriptors_are_more_connections() -> None:
    """What is kept for files does not grow with the limit."""
    few, many = (max_connections(32, 64, limit) for limit in (1024, 4096))
    assert many - few == 4096 - 1024


def test_connections_have_a_bound_of_their_own() -> None:
    """Each costs memory, so a server with a million descriptors does not take a million."""
    assert max_connections(32, 64, limit=2**20) == 10_000


def test_a_limit_that_is_too_small_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The operator reads it at the start, not from the first refused client; half are served."""
    assert max_connections(32, 64, limit=128) == 64
    assert "ulimit -n" in capsys.readouterr().out
    assert max_connections(2000, 64, limit=1024) < 1024
    assert "ulimit -n" in capsys.readouterr().out


def test_the_process_takes_what_it_may() -> None:
    """The soft limit is raised to what the hard one allows, and never lowered."""
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = min(512, usual[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, usual[1]))
    try:
        before = max_connections(32, 64)
        raise_descriptor_limit()
        raised, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert few <= raised <= hard == usual[1]
        assert max_connections(32, 64) >= before
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (raised, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)


def test_a_server_never_runs_out(tmp_path: Path) -> None:
    """A full server refuses connections with a response, and later serves as before."""
    server = start_server(
        tmp_path,
        tmp_path / "log",
        ["bash", "-c", 'ulimit -n 128; exec "$@"', "bash", *PROGRAM],
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
        assert wait_for_exit(server) == 0
    log = (tmp_path / "log").read_text()
    assert "ulimit -n" not in log
    assert log.count("connections refused") == 1
    assert "Traceback" not in log


def eventually_healthy(url: str) -> bool:
    """Whether the server answers, once it has seen that the others are gone."""
    return any(httpx.get(f"{url}/health").status_code == 200 for _ in range(100))
