"""What live work costs, measured by doing some of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest
from gated_backend import TIMEOUT_S, GatedBackend
from structlog.testing import capture_logs

from whisperlive_hybrid.backends.base import Encode
from whisperlive_hybrid.backends.fake import FakeBackend, Trouble, speak
from whisperlive_hybrid.engine.capacity import Room
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.live.probe import LiveProbe
from whisperlive_hybrid.telemetry.metrics import Metrics
from whisperlive_hybrid.types import Samples

pytestmark = pytest.mark.anyio

SPEECH = speak([1, 2, 3])


@asynccontextmanager
async def probing(
    backend: GatedBackend, speech: Samples = SPEECH, patience_s: float = TIMEOUT_S
) -> AsyncIterator[tuple[Engine, LiveProbe]]:
    """A probe that runs, and has reached the model."""
    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        probe = LiveProbe(engine, speech, patience_s)
        tasks.start_soon(probe.run)
        await anyio.to_thread.run_sync(backend.reached.wait, TIMEOUT_S)
        yield engine, probe
        backend.gate.set()
        tasks.cancel_scope.cancel()


def encodes(backend: GatedBackend) -> int:
    """How many windows were read; the first was there to warm the model up."""
    return sum(n for kind, n in backend.fake.calls if kind is Encode)


async def test_it_measures_at_the_start() -> None:
    """An update and a final, so that a second client is judged without a wait."""
    backend = GatedBackend()
    async with probing(backend) as (engine, probe):
        with engine.open_stream():
            before = engine.live_room
            backend.gate.set()
            assert await probe.refresh()
            assert (before, engine.live_room) == (Room.UNKNOWN, Room.YES)
    seen = engine.live_estimate(32)
    assert seen.update_s > 0
    assert seen.final_s_per_s > 0


async def test_all_workers_are_kept_busy() -> None:
    """Since windows that run beside each other cost more."""
    backend = GatedBackend(FakeBackend(workers=6))
    async with probing(backend) as (_, probe):
        backend.gate.set()
        await probe.refresh()
        assert encodes(backend) == 1 + 6


async def test_who_asks_at_once_shares_a_measurement() -> None:
    """A crowd costs the model no more than one client."""
    backend = GatedBackend()
    async with probing(backend) as (_, probe):
        async with anyio.create_task_group() as clients:
            for _ in range(5):
                clients.start_soon(probe.refresh)
            await anyio.wait_all_tasks_blocked()
            backend.gate.set()
        assert encodes(backend) == 1 + 2
        assert await probe.refresh()
        assert encodes(backend) == 1 + 4


async def test_a_measurement_that_takes_too_long_is_not_waited_for() -> None:
    """The client is told so."""
    backend = GatedBackend()
    async with probing(backend, patience_s=0.0) as (_, probe):
        assert not await probe.refresh()


async def test_a_model_that_fails_leaves_it_open() -> None:
    """With a line in the log; the next request tries again."""
    backend = GatedBackend()
    with capture_logs() as lines:
        async with probing(backend, speak([Trouble.CALL_DIES])) as (engine, probe):
            backend.gate.set()
            with engine.open_stream():
                assert await probe.refresh()
                assert engine.live_room is Room.UNKNOWN
    assert [line["event"] for line in lines] == ["live work cannot be measured"]


async def test_no_observer_sees_it() -> None:
    """Metrics count what clients sent."""
    metrics, backend = Metrics(), FakeBackend()
    async with (
        Engine(backend, observer=metrics.engine) as engine,
        anyio.create_task_group() as tasks,
    ):
        probe = LiveProbe(engine, SPEECH)
        tasks.start_soon(probe.run)
        await probe.refresh()
        tasks.cancel_scope.cancel()
    assert backend.calls
    assert metrics.engine.real_time_factors(["fake"]) == {"fake": None}
