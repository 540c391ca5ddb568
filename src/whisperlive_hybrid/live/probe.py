"""The cost of live work on this machine now, measured by doing some of it.

Live streams teach the engine their cost as they are read. Before the first one, and when those that
are open have been silent for long, the speed of the machine is unknown: other programs may have
come. Then a few windows of speech are read as those of a stream, and the engine learns from these.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Final

import anyio
import structlog

from whisperlive_hybrid.engine.client import EngineClient
from whisperlive_hybrid.errors import WhisperLiveError
from whisperlive_hybrid.live.session import update_options
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    Samples,
    Urgency,
    Window,
    WindowSpan,
)

UTTERANCE_S: Final = 4.0
"""Length of the window: utterances of read speech have 3 to 5 s."""

PATIENCE_S: Final = 5.0
"""How long a client waits for its admission while costs are measured."""

log = structlog.get_logger(__name__)


class LiveProbe:
    """Measures at the start and on request; several requests at once share a measurement."""

    def __init__(
        self, engine: EngineClient, speech: Samples, patience_s: float = PATIENCE_S
    ) -> None:
        """`speech` is (n,) float32; of it `UTTERANCE_S` are read."""
        samples = speech[: round(UTTERANCE_S * SAMPLE_RATE)]
        self._engine = engine
        self._window = Window(samples, (WindowSpan(0, 0, len(samples)),))
        self._patience_s = patience_s
        self._wanted = anyio.Event()
        self._done = anyio.Event()

    async def run(self) -> None:
        """Measure whenever a measurement is wanted; to be run as a task, and cancelled."""
        # The first call of a model fetches its memory from the kernel and took a third longer than
        # the second (base). Read as a file's, a window teaches nothing.
        with suppress(WhisperLiveError):
            await self._rehearse(Urgency.SHORT_FILE)
        while True:
            await self._measure()
            # In this order: a client that asked during the measurement is served by it.
            self._wanted = anyio.Event()
            self._done.set()
            self._done = anyio.Event()
            await self._wanted.wait()

    async def refresh(self) -> bool:
        """Wait for a new measurement; return whether it came within the time limit."""
        self._wanted.set()
        with anyio.move_on_after(self._patience_s) as patience:
            await self._done.wait()
        return not patience.cancelled_caught

    async def _measure(self) -> None:
        """Read as many updates and finals at once as keep all workers busy.

        Windows that run beside each other share caches and memory, as those of streams do.
        """
        pairs = max(1, self._engine.capabilities.workers // 2)
        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(pairs):
                    tasks.start_soon(self._rehearse, Urgency.UPDATE)
                    tasks.start_soon(self._rehearse, Urgency.FINAL)
        except* WhisperLiveError as group:
            log.warning("live work cannot be measured", reason=str(group.exceptions[0]))
        else:
            known = self._engine.live_estimate(0)
            log.info(
                "live work measured",
                update_s=round(known.update_s, 3),
                final_s_per_s=round(known.final_s_per_s, 3),
            )

    async def _rehearse(self, urgency: Urgency) -> None:
        """Read the window once, at a bounded price whatever the model makes of it."""
        # In a model that loses its footing on this clip, retries would cost many times the usual.
        usual = DecodeOptions()
        bounded = update_options(usual, UTTERANCE_S)
        if urgency is Urgency.FINAL:
            bounded = replace(bounded, beam_size=usual.beam_size)
        await self._engine.measure(self._window, bounded, urgency)
