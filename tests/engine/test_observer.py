"""What an engine tells of its work."""

import anyio
import anyio.to_thread
import pytest
from gated_backend import TIMEOUT_S, GatedBackend
from observer_log import ObserverLog
from structlog.testing import capture_logs

from whisperlive_hybrid.backends.fake import FakeBackend, Trouble, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.engine.observer import Observers, WindowRequest
from whisperlive_hybrid.errors import BackendFailed, Overloaded
from whisperlive_hybrid.types import DecodeOptions, DecodeResult, Urgency, Window, WindowSpan

pytestmark = pytest.mark.anyio

ENGLISH = DecodeOptions(language="en")


def window(*words: int) -> Window:
    """A window in which these words are spoken."""
    samples = speak(words)
    return Window(samples, (WindowSpan(0, 0, len(samples)),))


async def test_a_window_is_told_from_its_beginning_to_its_end() -> None:
    """Who asks, every call with its kind and its waits, and the reading; each once."""
    notes = ObserverLog()
    async with Engine(FakeBackend(), observer=notes) as engine:
        reading = await engine.decode(window(1), DecodeOptions(words=True), Urgency.FINAL)
    assert notes.asked_ == [WindowRequest("fake", Urgency.FINAL, window(1).duration)]
    assert [call.kind for call in notes.calls] == [
        "encode",
        "detect_language",
        "generate",
        "align",
    ]
    for call in notes.calls:
        (part,) = call.parts
        assert (part.mark, part.urgency, call.model) == (0, Urgency.FINAL, "fake")
        assert part.queued_at <= call.began <= call.ended
    assert notes.answers == [(0, reading)]


async def test_windows_that_share_a_call_are_told_with_it() -> None:
    """The parts of a call are the marks of its windows."""
    notes = ObserverLog()
    backend = GatedBackend()
    async with Engine(backend, observer=notes) as engine, anyio.create_task_group() as tasks:
        for word in (1, 2, 3):
            tasks.start_soon(engine.decode, window(word), ENGLISH, Urgency.BULK)
        backend.gate.set()
    marks = sorted(part.mark for call in notes.calls for part in call.parts)
    assert marks == [0, 0, 1, 1, 2, 2]  # an encode and a generate each
    assert len(notes.answers) == 3


async def test_failures_and_refusals_are_told_as_they_reach_the_caller() -> None:
    """By the exception that the caller gets."""
    notes, backend = ObserverLog(), GatedBackend()
    async with Engine(backend, queue_limit=1, observer=notes) as engine:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.decode, window(1), ENGLISH)
            await anyio.to_thread.run_sync(backend.reached.wait, TIMEOUT_S)
            with pytest.raises(Overloaded):
                await engine.decode(window(2), ENGLISH)
            backend.gate.set()
        with pytest.raises(BackendFailed), capture_logs() as logs:
            await engine.decode(window(Trouble.ITEM_FAILS), ENGLISH)
    kinds = {mark: type(answer) for mark, answer in notes.answers}
    assert kinds == {0: DecodeResult, 1: Overloaded, 2: BackendFailed}
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("the model failed on a window", "error")
    ]


async def test_a_caller_who_leaves_is_told_as_cancelled() -> None:
    """So that no span stays open and no count is lost."""
    notes = ObserverLog()
    backend = GatedBackend()
    async with Engine(backend, observer=notes) as engine:
        with anyio.move_on_after(0):
            await engine.decode(window(1), ENGLISH)
        backend.gate.set()
    ((mark, answer),) = notes.answers
    assert mark == 0
    assert isinstance(answer, anyio.get_cancelled_exc_class())


async def test_each_of_several_observers_gets_its_own_marks_back() -> None:
    """They know nothing of one another."""
    one, other = ObserverLog(), ObserverLog(first=100)
    async with Engine(FakeBackend(), observer=Observers([one, other])) as engine:
        await engine.decode(window(1), ENGLISH)
    for notes in (one, other):
        assert {part.mark for call in notes.calls for part in call.parts} == {notes.first}
        assert [mark for mark, _ in notes.answers] == [notes.first]
