from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from whisperlive_hybrid.backends.base import Encode, Encoded
from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadRequest, LimitReached, ModelUnavailable, Overloaded
from whisperlive_hybrid.model_pool import LOADS_PER_CALLER, MemoryBudget, ModelPool, ModelSpec
from whisperlive_hybrid.transcribe import FileRequest, Transcriber
from whisperlive_hybrid.types import join_text

pytestmark = pytest.mark.anyio


class Shelf:
    """Models that can be loaded; keeps every backend that was."""

    def __init__(self) -> None:
        self.loaded: list[FakeBackend] = []

    def model(self, name: str, size: int = 10) -> ModelSpec:
        """One of `size` bytes."""
        return ModelSpec(name, size, lambda: self._load(name))

    def _load(self, name: str) -> FakeBackend:
        self.loaded.append(FakeBackend(name=name))
        return self.loaded[-1]

    @property
    def open(self) -> list[str]:
        """The names of the backends that are not closed."""
        return [backend.name for backend in self.loaded if not backend.is_closed]


@asynccontextmanager
async def a_pool(
    *others: ModelSpec, n_bytes: int = 20, idle_s: float = 3600.0
) -> AsyncIterator[ModelPool]:
    """A pool beside the model "fake"."""
    async with (
        Engine(FakeBackend()) as engine,
        ModelPool(engine, EnergyVad(), others, MemoryBudget(n_bytes, idle_s)) as pool,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(pool.run)
        yield pool
        tasks.cancel_scope.cancel()


async def text_of(transcriber: Transcriber) -> str:
    """What it reads in the words w1 and w2."""
    return join_text((await transcriber.transcribe([speak([1, 2])], FileRequest())).segments)


async def test_a_model_is_loaded_by_the_first_who_names_it() -> None:
    """Not before, and once for all."""
    shelf = Shelf()
    async with a_pool(shelf.model("small")) as pool:
        assert (shelf.open, pool.in_memory) == ([], ("fake",))
        async with pool.lease("small", "me") as one, pool.lease("small", "me") as other:
            assert one is other
            assert await text_of(one) == "w1 w2"
        async with pool.lease("small", "me"):
            assert pool.in_memory == ("fake", "small")
    assert len(shelf.loaded) == 1
    assert shelf.open == []


async def test_the_named_model_does_the_work() -> None:
    """Its own backend is called, and not the first model's."""
    shelf = Shelf()
    async with a_pool(shelf.model("small")) as pool:
        async with pool.lease("small", "me") as transcriber:
            await text_of(transcriber)
        n_calls = len(shelf.loaded[0].calls)
        async with pool.lease("fake", "me") as transcriber:
            await text_of(transcriber)
        assert 0 < n_calls == len(shelf.loaded[0].calls)


async def test_an_idle_model_makes_room_for_another() -> None:
    """The one that was used longest ago goes first."""
    shelf = Shelf()
    async with a_pool(*map(shelf.model, "abc")) as pool:
        for name in "aba":
            async with pool.lease(name, "me"):
                pass
        async with pool.lease("c", "me"):
            assert shelf.open == ["a", "c"]


async def test_a_model_in_use_stays() -> None:
    """A request that finds no room is told to come back; the one in flight is safe."""
    shelf = Shelf()
    async with a_pool(shelf.model("a", 15), shelf.model("b", 15)) as pool:
        async with pool.lease("a", "me") as transcriber:
            with pytest.raises(Overloaded, match="no room for model 'b' while 'a' is in use"):
                async with pool.lease("b", "me"):
                    pass
            assert await text_of(transcriber) == "w1 w2"
        async with pool.lease("b", "me") as transcriber:
            assert await text_of(transcriber) == "w1 w2"


async def test_a_caller_cannot_keep_the_disk_busy_with_loads() -> None:
    """Models named in turn, which make room for each other, are refused after a few loads."""
    shelf = Shelf()
    async with a_pool(*map(shelf.model, "abc"), n_bytes=10) as pool:
        for number in range(LOADS_PER_CALLER):
            async with pool.lease("abc"[number % 3], "me"):
                pass
        with pytest.raises(LimitReached) as refusal:
            async with pool.lease("b", "me"):
                pass
        assert 0 < refusal.value.retry_after_s <= 60
        async with pool.lease("a", "me"):  # it is in memory
            pass
        async with pool.lease("b", "another"):
            assert len(shelf.loaded) == LOADS_PER_CALLER + 1


class TellsWhenClosed(FakeBackend):
    """Sets an event of the loop when its weights are freed."""

    def __init__(self, closed: anyio.Event) -> None:
        super().__init__(name="a")
        self.closed = closed

    def close(self) -> None:
        """Free nothing, and say so."""
        super().close()
        anyio.from_thread.run_sync(self.closed.set)


async def test_an_unused_model_leaves() -> None:
    """After the idle time, without anybody asking for anything."""
    closed = anyio.Event()
    model = ModelSpec("a", 1, lambda: TellsWhenClosed(closed))
    async with a_pool(model, idle_s=0.001) as pool:
        async with pool.lease("a", "me"):
            assert not closed.is_set()
        await closed.wait()
        assert pool.in_memory == ("fake",)


async def test_a_model_that_cannot_be_loaded_fails_its_request_alone() -> None:
    """The next request tries again, and other models are not touched."""

    def broken() -> FakeBackend:
        raise ModelUnavailable("Model 'a' cannot be loaded: no such file")

    shelf = Shelf()
    async with a_pool(ModelSpec("a", 1, broken), shelf.model("b")) as pool:
        for _ in range(2):
            with pytest.raises(ModelUnavailable):
                async with pool.lease("a", "me"):
                    pass
        async with pool.lease("b", "me") as transcriber:
            assert await text_of(transcriber) == "w1 w2"


class HeldBackend(FakeBackend):
    """Its encoder waits for a gate of the test."""

    def __init__(self) -> None:
        super().__init__(name="a")
        self.entered, self.gate = anyio.Event(), anyio.Event()
        self.was_closed_inside = False

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Wait at the gate, and see whether the weights are still there."""
        self.portal.start_task_soon(self._enter).result()
        self.was_closed_inside = self.is_closed
        return super().encode(batch)

    async def _enter(self) -> None:
        self.entered.set()
        await self.gate.wait()

    portal: anyio.from_thread.BlockingPortal


async def test_weights_wait_for_a_call_whose_caller_has_gone() -> None:
    """A cancelled request leaves its call running; freeing the weights under it would crash."""
    backend = HeldBackend()
    async with (
        anyio.from_thread.BlockingPortal() as backend.portal,
        a_pool(ModelSpec("a", 15, lambda: backend), Shelf().model("b", 15)) as pool,
        anyio.create_task_group() as tasks,
    ):

        async def use() -> None:
            async with pool.lease("a", "me") as transcriber:
                await text_of(transcriber)

        user = anyio.CancelScope()

        async def leave() -> None:
            with user:
                await use()
            tasks.start_soon(open_gate)
            async with pool.lease("b", "me"):  # needs the room of a
                assert backend.is_closed

        async def open_gate() -> None:
            backend.gate.set()

        tasks.start_soon(leave)
        await backend.entered.wait()
        user.cancel()
    assert not backend.was_closed_inside


async def test_a_list_that_cannot_work_is_refused_at_the_start() -> None:
    """A model larger than all the room, and two of one name."""
    shelf = Shelf()
    with pytest.raises(BadRequest, match=r"'a' takes .* WHISPERLIVE_MODELS_MB"):
        async with a_pool(shelf.model("a", 21)):
            pass
    with pytest.raises(BadRequest, match="same name"):
        async with a_pool(shelf.model("fake")):
            pass
