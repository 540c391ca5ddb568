"""`whisperlive serve` in a separate process, on free ports."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = (sys.executable, "-m", "whisperlive_hybrid")


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    announcement: str
    live_url: str
    http_url: str
    data_dir: Path


def start_server(
    data_dir: Path, log: Path | None = None, program: Sequence[str] = PROGRAM, **environment: str
) -> Server:
    """Start a server and wait until it is ready; append its log to `log`."""
    with (log or Path(os.devnull)).open("a") as errors:
        process = subprocess.Popen(
            [*program, "serve"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={
                **os.environ,
                "PORT_WHISPERLIVE": "0",
                "HTTP_PORT": "0",
                "HF_HUB_OFFLINE": "1",
                "FASTERWHISPER_MODEL": "demo",
                # Known models on this machine would be offered too.
                "WHISPERLIVE_MODELS_DIR": "/nonexistent",
                "HF_HUB_CACHE": "/nonexistent",
                "WHISPERLIVE_HOST": "127.0.0.1",
                "WHISPERLIVE_DATA_DIR": str(data_dir),
                **environment,
            },
        )
    return wait_until_ready(process, data_dir)


def wait_until_ready(process: subprocess.Popen[str], data_dir: Path) -> Server:
    """Read the output of a new server up to its example command; return its addresses."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "curl" in line:
            break
    printed = "".join(lines)
    live, http = re.search(r"ws://\S+", printed), re.search(r"http://\S+", printed)
    assert live, printed
    assert http, printed
    urls = [found[0].replace("localhost", "127.0.0.1") for found in (live, http)]
    return Server(process, printed, urls[0], urls[1], data_dir)


def wait_for_exit(server: Server, patience_s: float = 30) -> int:
    """Wait for the end of the process, close its pipe, and return the exit code."""
    code = server.process.wait(patience_s)
    assert server.process.stdout is not None
    server.process.stdout.close()
    return code
