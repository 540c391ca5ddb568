from contextlib import AbstractContextManager, nullcontext

import anyio
import numpy as np
import pytest

from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend, Trouble, pause, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.live import latency as delays
from whisperlive_hybrid.live.latency import LatencyTracker
from whisperlive_hybrid.live.session import LiveOptions, LiveSession
from whisperlive_hybrid.protocol.live import Gap, LanguageDetected, TextUpdate
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    DecodeResult,
    Language,
    Segment,
    Urgency,
    Window,
    WindowSpan,
)

pytestmark = pytest.mark.anyio

SAID = DecodeResult((Segment(0, 1, " a", (), 0, 0, 0, 0),), Language("en", 1.0))
SILENT = DecodeResult((), Language("en", 1.0))


class Listener:
    """A `StreamObserver` that writes down what it hears."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.n_readings = 0

    def span(self, urgency: Urgency) -> AbstractContextManager[object]:
        """Count finals."""
        self.n_readings += urgency is Urgency.FINAL
        return nullcontext()

    def on_final(self, latency_s: float) -> None:
        """Keep it."""
        self.latencies.append(latency_s)


def window(end_s: float) -> Window:
    """A window of a second that ends there."""
    n = SAMPLE_RATE
    return Window(np.zeros(n, np.float32), (WindowSpan(0, round(end_s * n) - n, n),))


async def test_the_delay_begins_with_the_end_of_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """When that came in, not when the silence behind it did; and only text counts."""
    now = 0.0
    monkeypatch.setattr(delays.anyio, "current_time", lambda: now)  # type: ignore[attr-defined]
    listener = Listener()
    measured = LatencyTracker(VadOptions(post_roll_s=0.2), listener)
    for tenth in range(1, 31):
        now = tenth / 10
        measured.record_audio(round(now * SAMPLE_RATE))
    now = 3.4
    measured.record_text([(window(1.5), SILENT), (window(2.2), SAID)])
    assert listener.latencies == [pytest.approx(1.4)]  # speech ended at 2.0


async def test_every_utterance_of_a_stream_is_measured_once() -> None:
    """A final that was begun on a guess is the final; what the model fails on is never sent."""
    listener, engine = Listener(), Engine(FakeBackend())

    async def publish(news: LanguageDetected | TextUpdate | Gap) -> None:
        del news

    live = LiveOptions(DecodeOptions(language="en"))
    async with engine, anyio.create_task_group() as tasks:
        session = LiveSession(engine, EnergyVad(), live, publish, tasks, listener)
        tasks.start_soon(session.run)
        for piece in (speak([1]), pause(1.0), speak([Trouble.ITEM_FAILS]), pause(1.0), speak([2])):
            await session.receive(piece)
        await session.finish()
    assert len(listener.latencies) == 2
    assert all(latency >= 0 for latency in listener.latencies)
    assert listener.n_readings >= 3
