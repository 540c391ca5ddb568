"""The command `whisperlive` in a separate process."""

import os
import subprocess
import sys

ENGLISH = (
    "Bring me the house. Please wait one hundred days. "
    "Peter learns in the garden. Maria wants soup."
)


KERNELS = ("CT2_", "DNNL_", "MKL_", "ONEDNN_", "OPENBLAS_")
"""Prefixes of variables that select CPU kernels, whose sums are rounded differently."""

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name.startswith(KERNELS)},
    "PATH": "/usr/bin:/bin",
    "HF_HUB_OFFLINE": "1",
    "HOME": "/nonexistent",
    "FASTERWHISPER_MODEL": "demo",
}
"""A minimal environment without downloads, with the kernels of the servers that tests start."""


def whisperlive(
    *arguments: str, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command and return its result."""
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        input=stdin,
        timeout=90,
        check=False,
        env={**ENVIRONMENT, **environment},
    )
    texts = [printed.decode("utf-8") for printed in (done.stdout, done.stderr)]
    return subprocess.CompletedProcess(done.args, done.returncode, *texts)


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the command with pipes for its output."""
    return subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **environment},
    )


def command(*arguments: str) -> list[str]:
    """Return the command line."""
    return [sys.executable, "-m", "whisperlive_hybrid", *arguments]
