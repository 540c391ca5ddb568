"""The cores, the disk and the memory of the process."""

import errno
import os
import subprocess
import sys
from importlib.metadata import distribution as find_distribution
from pathlib import Path

import pytest

from whisperlive_hybrid.errors import OutOfSpace
from whisperlive_hybrid.system import translate_disk_full, usable_cores

BOUND_TO = len(os.sched_getaffinity(0))


def cores(directory: Path, group: str, **quotas: str) -> int:
    """Return the cores for a process of `group`, with quotas of these groups."""
    membership = directory / "membership"
    membership.write_text(f"1:name=systemd:/elsewhere\n0::{group}\n")
    for name, quota in quotas.items():
        place = directory / name.replace("_", "/").removeprefix("root").lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.max").write_text(f"{quota}\n")
    return usable_cores(directory, membership)


@pytest.mark.parametrize("quota", ["100000 100000", "50000 100000"])
def test_a_quota_is_kept(tmp_path: Path, quota: str) -> None:
    """`--cpus 1` is one core on any host; half a core is one, too."""
    assert cores(tmp_path, "/", root=quota) == 1


def test_without_a_quota_every_core_counts(tmp_path: Path) -> None:
    """`max` is no quota."""
    assert cores(tmp_path, "/", root="max 100000") == BOUND_TO


def test_a_quota_above_the_own_group_counts(tmp_path: Path) -> None:
    """The quota of a slice limits the services in it."""
    found = cores(tmp_path, "/system/ours", root_system="100000 100000", root_system_ours="max 1")
    assert found == 1


def test_a_large_quota_makes_no_cores(tmp_path: Path) -> None:
    """There are no more cores than in the affinity of the process."""
    assert cores(tmp_path, "/", root="99900000 100000") == BOUND_TO


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    """Missing files are no error."""
    assert usable_cores(tmp_path, tmp_path / "missing") == BOUND_TO


def test_a_full_disk_is_out_of_space() -> None:
    """The error may be raised by writing or only by closing the file."""
    with pytest.raises(OutOfSpace), translate_disk_full(), open("/dev/full", "wb") as full:  # noqa: PTH123 (a device)
        full.write(b"x")
    with pytest.raises(OutOfSpace), translate_disk_full():
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_other_errors_are_not_changed() -> None:
    """A missing file is no full disk."""
    with pytest.raises(FileNotFoundError), translate_disk_full():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


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
"""Print the log of the import and every use of a socket, also by threads."""

FREED = """
from pathlib import Path
from whisperlive_hybrid.system import malloc_trim, tune_process
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20
tune_process()
print(resident())
freed = [bytes(50_000) for _ in range(2000)]
top = bytes(50_000)
del freed
print(resident())
print(malloc_trim())
print(resident())
"""
"""Free 100 MB, below an object that stays in memory."""


def run(program: str, **environment: str) -> list[str]:
    """Return the words that a separate process prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def test_no_telemetry_of_onnx_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime's telemetry would leave a file with a session id in TMPDIR."""
    for name in [name for name in os.environ if "TELEMETRY" in name]:
        monkeypatch.delenv(name)
    run(SILENT, TMPDIR=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_openvino_reports_nothing(tmp_path: Path) -> None:
    """Its import writes nothing to an empty home, logs nothing and opens no connection."""
    assert find_distribution("openvino-telemetry").files, "this test needs openvino-telemetry"
    assert run(OPENVINO_IMPORT, HOME=str(tmp_path), CI="") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has malloc_trim")
def test_freed_memory_is_kept_until_it_is_trimmed() -> None:
    """It is kept for the next call of the model."""
    before, kept, given, after = run(FREED)
    assert int(kept) - int(before) > 80
    assert given == "True"
    assert int(after) - int(before) < 10
