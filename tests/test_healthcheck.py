import sys

import anyio
import pytest
from fake_web_server import answer, serve_answers

from whisperlive_hybrid.healthcheck import check, server_address

pytestmark = pytest.mark.anyio


async def checked(port: int, host: str = "127.0.0.1") -> tuple[int, str]:
    """Exit code and finding of the check as a container engine runs it."""
    command = [sys.executable, "-m", "whisperlive_hybrid.healthcheck"]
    environment = {
        "HTTP_PORT": str(port),
        "WHISPERLIVE_HOST": host,
        "http_proxy": "http://127.0.0.1:1",  # nothing listens there
    }
    done = await anyio.run_process(command, env=environment, check=False)
    return done.returncode, done.stdout.decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 (asked, not bound)
async def test_a_server_that_answers_200_is_healthy(host: str) -> None:
    """200 is exit code 0, by the environment's port, past any proxy."""
    async with serve_answers({"/health": answer(b"{}")}) as remote:
        assert await checked(remote.port, host) == (0, f"127.0.0.1:{remote.port} answers 200.\n")
        assert [request.target for request in remote.asked] == ["/health"]


async def test_another_status_is_unhealthy() -> None:
    """Any other status is exit code 1, and is printed."""
    async with serve_answers({"/health": answer(status="503 Service Unavailable")}) as remote:
        code, finding = await checked(remote.port)
    assert (code, finding) == (1, f"127.0.0.1:{remote.port} answers 503.\n")


async def test_a_closed_port_is_one_line() -> None:
    """Without a listening server the exit code is 1 and no stack is printed."""
    async with serve_answers({}) as remote:
        port = remote.port
    code, finding = await checked(port)
    assert code == 1
    assert finding.startswith(f"127.0.0.1:{port} does not answer: ")
    assert finding.count("\n") == 1


async def test_another_protocol_is_unhealthy() -> None:
    """Another service on the port is not taken for ours."""
    async with serve_answers({"/health": b"SSH-2.0-OpenSSH_9.2\r\n\r\n"}) as remote:
        is_healthy, finding = await anyio.to_thread.run_sync(check, "127.0.0.1", remote.port)
    assert not is_healthy
    assert "BadStatusLine" in finding


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, ("127.0.0.1", 8080)),
        ({"HTTP_PORT": "9000"}, ("127.0.0.1", 9000)),
        ({"HTTP_PORT": ""}, ("127.0.0.1", 8080)),
        ({"WHISPERLIVE_HOST": "::"}, ("127.0.0.1", 8080)),
        ({"WHISPERLIVE_HOST": "10.1.2.3"}, ("10.1.2.3", 8080)),
    ],
)
def test_the_address_is_that_of_the_server(
    environment: dict[str, str], wanted: tuple[str, int]
) -> None:
    """The same variables and defaults as the server's; every address includes the loopback."""
    assert server_address(environment) == wanted
