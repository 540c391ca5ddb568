"""Which models are in memory: the first always, others while they are in use.

Another model is loaded by the first request that names it, as long as the budget allows, and
unloaded when it was not used for a while or when another one needs its room. A request holds a
lease, so what it uses stays. One model is loaded at a time, and each caller may cause a few loads a
minute, so that a client that names models in turn does not keep the disk busy. All of them run on
one engine: its workers, its queue, its rules.
"""

import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

import anyio
import anyio.to_thread
import structlog

from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.engine.client import EngineClient
from whisperlive_hybrid.errors import BadRequest, LimitReached, Overloaded
from whisperlive_hybrid.notifier import Notifier
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.transcribe import Transcriber, VoiceDetector

_RETRY_AFTER_S: Final = 30.0
"""When a model that found no room may be asked for again: files are long."""

LOADS_PER_CALLER: Final = 4
"""Models that one caller may have loaded within `LOADS_WINDOW_S`."""

LOADS_WINDOW_S: Final = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that may be loaded; `load` blocks, and raises `ModelUnavailable`."""

    name: str
    size: int
    """Bytes that its weights take."""
    load: Callable[[], Backend]


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """How much the models on demand may take, and for how long."""

    bytes: int
    idle_s: float


class _Loaded:
    """A model in memory, with the leases that hold it there."""

    def __init__(
        self, model: ModelSpec, transcriber: Transcriber, attachment: AsyncExitStack
    ) -> None:
        self.model = model
        self.transcriber = transcriber
        self.attachment = attachment
        self.leases = 0
        self.idle_since = math.inf


class ModelPool:
    """Leases transcribers by the name of their model; an async context manager."""

    def __init__(
        self,
        engine: EngineClient,
        detector: VoiceDetector,
        others: Sequence[ModelSpec],
        room: MemoryBudget,
        names: ModelNames | None = None,
    ) -> None:
        """`names` are by default those of the models and no other spellings.

        Raises `BadRequest` if one of `others` could never be loaded or named.
        """
        plain = ModelNames(engine.capabilities.model, tuple(model.name for model in others))
        names = names or plain
        if len(set(names)) < len(list(names)):
            raise BadRequest(f"Two models have the same name: {', '.join(names)}.")
        for model in others:
            if model.size > room.bytes:
                raise BadRequest(
                    f"Model {model.name!r} takes {model.size >> 20} MiB, more than the "
                    f"{room.bytes >> 20} MiB of WHISPERLIVE_MODELS_MB."
                )
        self.names = names
        self._engine = engine
        self._detector = detector
        self._first = Transcriber(engine, detector)
        self._others = {model.name: model for model in others}
        self._room = room
        self._loaded: dict[str, _Loaded] = {}
        self._moving = anyio.Lock()  # one model is loaded or unloaded at a time
        self._changed = Notifier()
        self._loads: dict[str, deque[float]] = {}  # when each caller caused one, oldest first

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            for loaded in list(self._loaded.values()):
                await self._unload(loaded)

    @property
    def in_memory(self) -> tuple[str, ...]:
        """The names of the models that are loaded now."""
        return (self.names.first, *self._loaded)

    @asynccontextmanager
    async def lease(self, name: str, account: str) -> AsyncIterator[Transcriber]:
        """Yield a transcriber whose model stays while inside; `name` is one of `names.resolve`.

        `account` is the caller's. Raises `LimitReached` if it has caused too many loads,
        `Overloaded` if the room is taken by models in use, and `ModelUnavailable`.
        """
        if name == self.names.first:
            yield self._first
            return
        loaded = await self._acquire(self._others[name], account)
        try:
            yield loaded.transcriber
        finally:
            loaded.leases -= 1
            loaded.idle_since = anyio.current_time()
            self._changed.notify()

    async def run(self) -> None:
        """Unload models that were not used for a while; runs until it is cancelled."""
        while True:
            changed = self._changed.next()
            idle = [loaded for loaded in self._loaded.values() if not loaded.leases]
            due = min((loaded.idle_since for loaded in idle), default=math.inf) + self._room.idle_s
            with anyio.CancelScope(deadline=due):
                await changed.wait()
                continue
            async with self._moving:
                for loaded in self._idle_longest_first():
                    if anyio.current_time() - loaded.idle_since >= self._room.idle_s:
                        await self._unload(loaded)

    async def _acquire(self, model: ModelSpec, account: str) -> _Loaded:
        """The model in memory, with one more lease on it."""
        async with self._moving:
            if model.name not in self._loaded:
                self._count_load(account)
                await self._make_room(model)
                self._loaded[model.name] = await self._load(model)
            loaded = self._loaded[model.name]
            loaded.leases += 1
            return loaded

    def _count_load(self, account: str) -> None:
        """Raise `LimitReached` if the caller has caused too many loads; else count one more."""
        now = anyio.current_time()
        for caller, loads in list(self._loads.items()):
            while loads and loads[0] <= now - LOADS_WINDOW_S:
                loads.popleft()
            if not loads:  # or each address that ever asked would stay
                del self._loads[caller]
        loads = self._loads.setdefault(account, deque())
        if len(loads) >= LOADS_PER_CALLER:
            raise LimitReached(
                f"Limit of models loaded reached: {LOADS_PER_CALLER} within "
                f"{LOADS_WINDOW_S:g} s. Name a model that is in memory, or none.",
                retry_after_s=loads[0] + LOADS_WINDOW_S - now,
            )
        loads.append(now)

    async def _load(self, model: ModelSpec) -> _Loaded:
        log.info("loading model", model=model.name)
        with anyio.CancelScope(shield=True):  # what a thread has loaded must not be forgotten
            backend = await anyio.to_thread.run_sync(model.load)
        attachment = AsyncExitStack()
        decoder = await attachment.enter_async_context(self._engine.attach(backend))
        return _Loaded(model, Transcriber(decoder, self._detector), attachment)

    async def _make_room(self, model: ModelSpec) -> None:
        """Unload idle models, the longest idle first, until `model` fits."""
        for loaded in self._idle_longest_first():
            if self._free >= model.size:
                return
            await self._unload(loaded)
        if self._free < model.size:
            in_use = ", ".join(repr(name) for name in self._loaded)
            raise Overloaded(
                f"There is no room for model {model.name!r} while {in_use} is in use.",
                retry_after_s=_RETRY_AFTER_S,
            )

    @property
    def _free(self) -> int:
        return self._room.bytes - sum(loaded.model.size for loaded in self._loaded.values())

    def _idle_longest_first(self) -> list[_Loaded]:
        idle = [loaded for loaded in self._loaded.values() if not loaded.leases]
        return sorted(idle, key=lambda loaded: loaded.idle_since)

    async def _unload(self, loaded: _Loaded) -> None:
        log.info("unloading model", model=loaded.model.name)
        del self._loaded[loaded.model.name]
        await loaded.attachment.aclose()
