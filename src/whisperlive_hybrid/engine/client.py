"""The engine as use cases, servers and the command line see it.

The engine behind it may be the local one (`engine.engine`) or a client of one on another machine:
a window and its options are plain values, and the same window may be asked for again. Only
composition roots know which one it is.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol, TypeVar

from whisperlive_hybrid.backends.base import Backend, Capabilities
from whisperlive_hybrid.engine.capacity import LiveEstimate, Room
from whisperlive_hybrid.engine.job import EngineJob
from whisperlive_hybrid.types import DecodeOptions, DecodeResult, Urgency, Window

T = TypeVar("T")


class Decoder(Protocol):
    """Decodes windows with one model."""

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do."""

    async def decode(
        self,
        window: Window,
        options: DecodeOptions,
        urgency: Urgency = Urgency.SHORT_FILE,
        *,
        continues: bool = False,
    ) -> DecodeResult:
        """Decode one window; times of the answer are on the window's clock.

        `continues` says that another window of the same recording was accepted before.

        Raise `Unsupported` for options that the model cannot honour, `Overloaded` when too many
        windows of files wait, `Draining` once the server shuts down, and `BackendFailed` when the
        runtime fails on this window.
        """


class EngineClient(Decoder, Protocol):
    """An engine: the decoder of its own model, and a host for jobs of others."""

    async def run(
        self,
        job: EngineJob[T],
        model: str,
        urgency: Urgency,
        *,
        audio_s: float,
        continues: bool = False,
    ) -> T:
        """Run a job on the workers and return its answer.

        `model` names the model in metrics, and `audio_s` is how much audio the job reads. Raise
        what `decode` raises.
        """

    def attach(self, backend: Backend) -> AbstractAsyncContextManager[Decoder]:
        """Let another model share the workers; at the end, free its weights.

        Its name must be unique, since tasks of equal names share calls. Leave the context only when
        nothing decodes with it any more; tasks that still run for cancelled callers are awaited.
        """

    async def measure(self, window: Window, options: DecodeOptions, urgency: Urgency) -> None:
        """Decode a window only to learn its cost; raise as `decode` does."""

    def open_stream(self) -> AbstractContextManager[Callable[[float], None]]:
        """Reserve a place for a live stream, for as long as the context lasts.

        Call the value with the seconds of speech received, whenever some are.
        """

    @property
    def live_room(self) -> Room:
        """Whether one more live stream can be served within the bounds."""

    @property
    def live_lateness_s(self) -> float:
        """By how much the finals of live streams are late; above 0 there are too many streams."""

    @property
    def update_interval_s(self) -> float:
        """Seconds of new speech between two updates of a live stream."""

    def live_estimate(self, most: int) -> LiveEstimate:
        """Return the load of the live streams, and how many fit, of `most` that may be open."""

    @property
    def is_full(self) -> bool:
        """Whether a new recording would be refused."""

    @property
    def is_working(self) -> bool:
        """Whether every worker is alive."""

    @property
    def queue_depth(self) -> int:
        """Jobs that wait or run."""

    @property
    def waiting(self) -> Counter[Urgency]:
        """Tasks that wait for a worker now, by class."""

    async def drain(self, timeout_s: float) -> bool:
        """Take no new work and wait for the admitted jobs; return whether all of them are done."""
