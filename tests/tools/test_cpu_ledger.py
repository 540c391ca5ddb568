"""CPU time by kind of work."""

import threading
import time

import pytest
from load_tests.cpu_ledger import Ledger, foreign_cpu_s


def _burn(seconds: float) -> None:
    """Use so much CPU time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_only_the_measuring_thread_counts() -> None:
    """Other threads are left out; measurements of a kind add up."""
    ledger = Ledger()
    for _ in range(2):
        with ledger.measure("here"):
            other = threading.Thread(target=_burn, args=[0.2])
            other.start()
            _burn(0.02)
            other.join()
    assert 0.04 <= ledger.seconds["here"] < 0.2


def test_a_failure_is_measured_too() -> None:
    """The time was spent."""
    ledger = Ledger()
    with pytest.raises(ValueError, match="x"), ledger.measure("here"):
        raise ValueError("x")
    assert "here" in ledger.seconds


def test_threads_of_python_are_not_foreign() -> None:
    """However much they compute; libraries of other tests may have threads that spin meanwhile.

    The thread lives on while it is looked at: the kernel knows one that has ended for longer than
    Python does.
    """
    burnt_s, has_burnt, may_end = 1.0, threading.Event(), threading.Event()

    def burn() -> None:
        _burn(burnt_s)
        has_burnt.set()
        may_end.wait()

    before = foreign_cpu_s()
    thread = threading.Thread(target=burn)
    thread.start()
    has_burnt.wait()
    seen = foreign_cpu_s()
    may_end.set()
    thread.join()
    assert seen - before < burnt_s / 2
