"""Ask the file door of this machine whether it is alive, for the health check of a container.

`python -m whisperlive_hybrid.healthcheck` prints what it found and exits with 0 or 1. It knows the
door from the environment, as the server does, and loads the standard library only: an orchestrator
starts it every few seconds.
"""

import http.client
import os
import sys
from collections.abc import Mapping
from typing import Final

PATIENCE_S: Final = 4.0
"""Less than the five seconds that the Dockerfile gives, so that it can still say what is wrong."""

ANY_ADDRESS: Final = {"", "0.0.0.0", "::"}  # noqa: S104 (to be replaced by the loopback)


def main() -> None:
    """Ask, print the finding, exit."""
    is_healthy, finding = ask(*door(os.environ))
    print(finding)  # noqa: T201 (it goes into the orchestrator's record)
    sys.exit(0 if is_healthy else 1)


def door(environment: Mapping[str, str]) -> tuple[str, int]:
    """Host and port of the file door by the server's settings."""
    host = environment.get("WHISPERLIVE_HOST", "")
    return "127.0.0.1" if host in ANY_ADDRESS else host, int(environment.get("HTTP_PORT") or 8080)


def ask(host: str, port: int) -> tuple[bool, str]:
    """Whether `GET /health` answers 200, and what to tell about it; proxies play no part."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
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
