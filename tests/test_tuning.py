"""The tuning of the process, each in a process of its own."""

import os
import subprocess
import sys
from importlib.metadata import distribution as find_distribution
from pathlib import Path

import pytest

SILENT = """
from whisperlive_hybrid.system import tune_process
tune_process()
from whisperlive_hybrid.backends.silero import SileroVad
SileroVad()
"""

OPENVINO_IMPORT = """
import logging, sys
from whisperlive_hybrid.system import tune_process
tune_process()
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
sys.addaudithook(lambda event, _: print(event) if event.startswith("socket.") else None)
from whisperlive_hybrid.backends.openvino.backend import OpenVinoBackend
"""
"""Prints what the import logs and every use of a socket, also of threads that end with it."""

CROWDED = """
from pathlib import Path
from whisperlive_hybrid.system import malloc_trim, tune_process
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20
tune_process()
print(resident())
crowd = [bytes(50_000) for _ in range(2000)]
top = bytes(50_000)
del crowd
print(resident())
print(malloc_trim())
print(resident())
"""
"""100 MB that nobody holds any more, below something that stays."""


def run(program: str, **environment: str) -> list[str]:
    """What a program of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def test_no_library_talks_about_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime's telemetry, which leaves a session's id in TMPDIR, does not begin."""
    for name in [name for name in os.environ if "TELEMETRY" in name]:
        monkeypatch.delenv(name)
    run(SILENT, TMPDIR=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_openvino_reports_nothing(tmp_path: Path) -> None:
    """Importing it writes nothing to an empty home, logs no line and opens no connection."""
    assert find_distribution("openvino-telemetry").files, "without it this test says nothing"
    assert run(OPENVINO_IMPORT, HOME=str(tmp_path), CI="") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc gives memory back on demand")
def test_what_a_crowd_has_left_is_kept_and_can_be_given_back() -> None:
    """Kept for the next call of the model, until somebody says otherwise."""
    before, kept, given, after = run(CROWDED)
    assert int(kept) - int(before) > 80
    assert given == "True"
    assert int(after) - int(before) < 10
