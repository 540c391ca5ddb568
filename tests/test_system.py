"""How many cores a process may use."""

import os
from pathlib import Path

import pytest

from whisperlive_hybrid.system import usable_cores

BOUND_TO = len(os.sched_getaffinity(0))


def cores(directory: Path, group: str, **quotas: str) -> int:
    """The cores for a process of `group`, where these groups have quotas."""
    membership = directory / "membership"
    membership.write_text(f"1:name=systemd:/elsewhere\n0::{group}\n")
    for name, quota in quotas.items():
        place = directory / name.replace("_", "/").removeprefix("root").lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.max").write_text(f"{quota}\n")
    return usable_cores(directory, membership)


@pytest.mark.parametrize("quota", ["100000 100000", "50000 100000"])
def test_a_quota_is_kept(tmp_path: Path, quota: str) -> None:
    """`--cpus 1` gives one worker, whatever the host has; half a core is one too."""
    assert cores(tmp_path, "/", root=quota) == 1


def test_without_a_quota_every_core_counts(tmp_path: Path) -> None:
    """`max` is none."""
    assert cores(tmp_path, "/", root="max 100000") == BOUND_TO


def test_a_quota_above_the_own_group_counts(tmp_path: Path) -> None:
    """A slice bounds the services in it."""
    found = cores(tmp_path, "/system/ours", root_system="100000 100000", root_system_ours="max 1")
    assert found == 1


def test_a_large_quota_makes_no_cores(tmp_path: Path) -> None:
    """There are not more than the process is bound to."""
    assert cores(tmp_path, "/", root="99900000 100000") == BOUND_TO


def test_a_system_without_control_groups(tmp_path: Path) -> None:
    """Nothing to read is no fault."""
    assert usable_cores(tmp_path, tmp_path / "missing") == BOUND_TO
