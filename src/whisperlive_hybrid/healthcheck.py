"""Check that the HTTP server of this machine is alive, for the health check of a container.

`python -m whisperlive_hybrid.healthcheck` prints the result and exits with 0 or 1. It reads host
and port from the environment, as the server does, and imports the standard library only: an
orchestrator starts it every few seconds.
"""

import http.client
import os
import sys
from collections.abc import Mapping
from typing import Final

TIMEOUT_S: Final = 4.0
"""Shorter than the timeout of 5 s in the Dockerfile, which would end it before it prints."""

ANY_ADDRESS: Final = {"", "0.0.0.0", "::"}  # noqa: S104 (replaced by the loopback)


def main() -> None:
    """Send the request, print the result and exit."""
    is_healthy, result = check(*server_address(os.environ))
    print(result)  # noqa: T201 (the orchestrator stores it)
    sys.exit(0 if is_healthy else 1)


def server_address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Return host and port of the HTTP server by the server's settings."""
    host = environment.get("WHISPERLIVE_HOST", "")
    return "127.0.0.1" if host in ANY_ADDRESS else host, int(environment.get("HTTP_PORT") or 8080)


def check(host: str, port: int) -> tuple[bool, str]:
    """Return True if `GET /health` succeeds with 200, and a line about it; proxies are not used."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return False, f"{host}:{port} does not answer: {error!r}."
    finally:
        connection.close()
    return status == http.client.OK, f"{host}:{port} answers {status}."


if __name__ == "__main__":
    main()
