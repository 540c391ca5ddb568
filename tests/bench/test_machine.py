"""Usage of processes, from /proc."""

import os
import subprocess
import sys
import time

import pytest

from whisperlive_hybrid.bench.server import count_cores, read_cpu_model, read_usage
from whisperlive_hybrid.errors import BadRequest


def test_work_is_counted() -> None:
    """CPU time grows as the process's own clock does."""
    before, started = read_usage(os.getpid()).cpu_s, time.process_time()
    while time.process_time() < started + 0.1:
        pass
    assert 0.05 < read_usage(os.getpid()).cpu_s - before < 2.0


def test_children_count() -> None:
    """The memory of a child is the parent's too, and a child alone is less."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout
        child.stdout.readline()  # it runs
        alone, together = read_usage(child.pid), read_usage(os.getpid())
        child.communicate()
    assert 1 < alone.rss_mb < together.rss_mb


def test_a_process_that_does_not_exist_is_refused() -> None:
    """The message names the option."""
    with pytest.raises(BadRequest, match=r"^--server-pid 0: there is no such process\.$"):
        read_usage(0)


def test_the_machine_has_a_name_and_cores() -> None:
    """Both stand in every report."""
    assert read_cpu_model()
    assert count_cores() >= 1
