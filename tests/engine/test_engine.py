from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
import anyio.to_thread
import numpy as np
import pytest
from gated_backend import TIMEOUT_S, GatedBackend
from structlog.testing import capture_logs

from whisperlive_hybrid.backends.base import Align, Backend, DetectLanguage, Encode, Generate, Work
from whisperlive_hybrid.backends.fake import FakeBackend, Trouble, pause, speak
from whisperlive_hybrid.engine import engine as engine_module
from whisperlive_hybrid.engine.engine import FEWEST_WINDOWS, Engine
from whisperlive_hybrid.engine.job import ModelTask
from whisperlive_hybrid.errors import (
    BackendFailed,
    Draining,
    Overloaded,
    Unsupported,
    WhisperLiveError,
)
from whisperlive_hybrid.types import (
    DecodeOptions,
    Hypothesis,
    Language,
    Urgency,
    Window,
    WindowSpan,
    join_text,
)

pytestmark = pytest.mark.anyio

ENGLISH = DecodeOptions(language="en")


def window(*words: int) -> Window:
    """A window in which these words are spoken."""
    samples = speak(words)
    return Window(samples, (WindowSpan(0, 0, len(samples)),))


@dataclass
class Answers:
    """What callers of an engine got, by the first word of their window."""

    engine: Engine
    texts: dict[int, str] = field(default_factory=dict)
    errors: dict[int, WhisperLiveError] = field(default_factory=dict)

    async def ask(self, *words: int, urgency: Urgency = Urgency.SHORT_FILE) -> None:
        """Read one window and keep what came of it."""
        try:
            reading = await self.engine.decode(window(*words), ENGLISH, urgency)
        except WhisperLiveError as error:
            self.errors[words[0]] = error
        else:
            self.texts[words[0]] = join_text(reading.segments)


async def reached(backend: GatedBackend) -> None:
    """Wait until a worker stands at the gate."""
    assert await anyio.to_thread.run_sync(backend.reached.wait, TIMEOUT_S)


@dataclass
class Sum:
    """A job of another model than Whisper: adds numbers, one task each."""

    numbers: Sequence[int]
    calls: list[list[int]]
    """The batches that all such jobs ran in."""
    total: int = 0

    def first(self) -> ModelTask:
        """Begin with the first number."""
        return self._task(self.numbers[0])

    def advance(self, done: ModelTask, result: int) -> ModelTask | int:
        """Add the result of a task; ask for the next, or answer with the sum."""
        del done
        self.total += result
        self.numbers = self.numbers[1:]
        return self._task(self.numbers[0]) if self.numbers else self.total

    def _task(self, number: int) -> ModelTask:
        return ModelTask(number, "adder", "double", self._double, batch_limit=4)

    def _double(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.calls.append(list(numbers))
        return [ValueError("odd") if number % 2 else 2 * number for number in numbers]


async def test_jobs_of_other_models_share_the_workers() -> None:
    """Their tasks are batched by key, and one that fails fails alone, as those of Whisper do."""
    calls: list[list[int]] = []
    sums: dict[int, int] = {}
    failed: list[int] = []

    async def add(engine: Engine, *numbers: int) -> None:
        try:
            job = Sum(numbers, calls)
            sums[numbers[0]] = await engine.run(job, "adder", Urgency.SHORT_FILE, audio_s=1.0)
        except BackendFailed:
            failed.append(numbers[0])

    backend = GatedBackend()
    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(engine.decode, window(1), ENGLISH)
        await reached(backend)
        for numbers in ((2, 4), (6, 8, 10), (3,)):
            tasks.start_soon(add, engine, *numbers)
        await anyio.wait_all_tasks_blocked()
        backend.gate.set()
    assert (sums, failed) == ({2: 12, 6: 48}, [3])
    assert sorted(calls[0]) == [2, 3, 6]  # those that waited together shared a call


@pytest.mark.parametrize("workers", [1, 3])
async def test_each_caller_gets_its_own_answer(workers: int) -> None:
    """Forty windows at once, in whatever batches and order they run."""
    async with Engine(FakeBackend(workers=workers)) as engine:
        answers = Answers(engine)
        async with anyio.create_task_group() as tasks:
            for n in range(1, 41):
                tasks.start_soon(answers.ask, n, n + 100)
    assert answers.texts == {n: f"w{n} w{n + 100}" for n in range(1, 41)}


class StillClock:
    """Time that does not pass: no file earns its share of the workers."""

    def monotonic(self) -> float:
        """Stand in for time.monotonic."""
        return 0.0


async def test_urgent_work_overtakes_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live window that comes last is answered before the files that wait."""
    monkeypatch.setattr(engine_module, "time", StillClock())
    backend = GatedBackend(FakeBackend(generate_batch=1))
    order: list[int] = []

    async with Engine(backend) as engine, anyio.create_task_group() as tasks:

        async def ask(word: int, urgency: Urgency) -> None:
            await engine.decode(window(word), ENGLISH, urgency)
            order.append(word)

        tasks.start_soon(ask, 1, Urgency.BULK)
        await reached(backend)
        tasks.start_soon(ask, 2, Urgency.BULK)
        tasks.start_soon(ask, 3, Urgency.FINAL)
        await anyio.wait_all_tasks_blocked()
        backend.gate.set()
    assert sorted(order) == [1, 2, 3]
    assert order.index(3) < order.index(2)


async def test_work_that_may_share_a_call_does() -> None:
    """While one call runs others gather: eight windows behind a slow one need one call."""
    backend = GatedBackend()
    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        answers = Answers(engine)
        tasks.start_soon(answers.ask, 1)
        await reached(backend)
        for n in range(2, 10):
            tasks.start_soon(answers.ask, n)
        await anyio.wait_all_tasks_blocked()
        backend.gate.set()
    assert [call for call in backend.fake.calls if call[0] is Generate] == [
        (Generate, 1),
        (Generate, 8),
    ]


@pytest.mark.parametrize(
    ("urgency", "sizes"), [(Urgency.BULK, [1, 4, 4]), (Urgency.UPDATE, [1, 8])]
)
async def test_calls_for_files_may_hold_less(urgency: Urgency, sizes: list[int]) -> None:
    """Eight windows of files need two calls where the backend says four; live ones need one."""
    backend = GatedBackend(FakeBackend(file_batch=4))
    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        answers = Answers(engine)
        tasks.start_soon(partial(answers.ask, 1, urgency=urgency))
        await reached(backend)
        for n in range(2, 10):
            tasks.start_soon(partial(answers.ask, n, urgency=urgency))
        await anyio.wait_all_tasks_blocked()
        backend.gate.set()
    assert [size for kind, size in backend.fake.calls if kind is Generate] == sizes


async def test_a_reading_knows_words_and_language() -> None:
    """Detection, decoding and alignment follow one another on one encoder output."""
    backend = FakeBackend(language=Language("de", 0.8))
    async with Engine(backend) as engine:
        reading = await engine.decode(window(5, 6), DecodeOptions(words=True))
    assert reading.language == Language("de", 0.8)
    (segment,) = reading.segments
    assert [word.text for word in segment.words or ()] == [" w5", " w6"]
    assert backend.calls == [(Encode, 1), (DetectLanguage, 1), (Generate, 1), (Align, 1)]


async def test_what_is_guessed_cold_is_read_again_without_encoding_again() -> None:
    """In the full context the fallback costs a generate, never a second encode."""
    backend = FakeBackend(contexts_s=(30.0,))
    async with Engine(backend) as engine:
        reading = await engine.decode(window(Trouble.GUESSES_WHILE_COLD), ENGLISH)
    assert [segment.temperature for segment in reading.segments] == [0.2]
    assert backend.calls == [(Encode, 1), (Generate, 1), (Generate, 1)]


async def gathered(backend: GatedBackend, *words: int) -> Answers:
    """Read windows in one call: they gather while the worker is held up by another one."""
    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        answers = Answers(engine)
        tasks.start_soon(answers.ask, 1)
        await reached(backend)
        for word in words:
            tasks.start_soon(answers.ask, word)
        await anyio.wait_all_tasks_blocked()
        backend.gate.set()
    return answers


async def test_one_bad_item_fails_alone() -> None:
    """An item's own exception is its caller's; its neighbours in the call succeed."""
    backend = GatedBackend()
    answers = await gathered(backend, 2, Trouble.ITEM_FAILS, 3)
    assert answers.texts == {1: "w1", 2: "w2", 3: "w3"}
    error = answers.errors[Trouble.ITEM_FAILS]
    assert isinstance(error, BackendFailed)
    assert str(error.__cause__) == "the fake item failed"
    assert backend.fake.calls.count((Generate, 3)) == 1


async def test_a_dying_call_fails_only_the_guilty() -> None:
    """Items of a call that raised run again one by one."""
    backend = GatedBackend()
    answers = await gathered(backend, 2, Trouble.CALL_DIES, 3)
    assert answers.texts == {1: "w1", 2: "w2", 3: "w3"}
    assert list(answers.errors) == [Trouble.CALL_DIES]
    assert isinstance(answers.errors[Trouble.CALL_DIES], BackendFailed)
    generates = [size for kind, size in backend.fake.calls if kind is Generate]
    assert generates == [1, 3, 1, 1, 1]


async def test_a_failure_tells_nothing_of_the_server() -> None:
    """The caller reads one plain sentence; the cause is for the log."""
    answers = await gathered(GatedBackend(), Trouble.CALL_DIES)
    error = answers.errors[Trouble.CALL_DIES]
    assert error.message == "The model failed on this audio."
    assert str(error.__cause__) == "the fake call died"


class Forgetful(GatedBackend):
    """Breaks the contract of backends: it answers with one result too few."""

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Lose the last answer."""
        return self.fake.generate(batch)[:-1]


class Picky(GatedBackend):
    """Fails where the engine only asks what may share a call."""

    def batch_key(self, work: Work) -> tuple[str, float]:
        """Choke on the generate."""
        if isinstance(work, Generate):
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        return ("encode", 5.0)


@pytest.mark.parametrize("backend", [Forgetful(), Picky()])
async def test_no_fault_of_a_backend_stops_a_worker(backend: Backend) -> None:
    """Whatever goes wrong fails its caller; the next one is served by the same worker."""
    async with Engine(backend) as engine:
        for _ in range(2):
            with anyio.fail_after(TIMEOUT_S), pytest.raises(BackendFailed):
                await engine.decode(window(1), ENGLISH)


async def test_a_cancelled_caller_leaves_nothing_behind() -> None:
    """Work that waits is withdrawn: the backend never sees it."""
    backend = GatedBackend()
    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        answers = Answers(engine)
        tasks.start_soon(answers.ask, 1)
        await reached(backend)
        async with anyio.create_task_group() as goes_away:
            goes_away.start_soon(answers.ask, 2)
            await anyio.wait_all_tasks_blocked()
            assert engine.queue_depth == 2
            goes_away.cancel_scope.cancel()
        assert engine.queue_depth == 1
        backend.gate.set()
    assert engine.queue_depth == 0
    assert answers.texts == {1: "w1"}
    assert backend.fake.calls == [(Encode, 1), (Generate, 1)]


async def test_a_caller_who_goes_while_its_work_runs_disturbs_nobody() -> None:
    """What comes back for it is ignored, and the worker serves the next one."""
    backend = GatedBackend()
    async with Engine(backend) as engine:
        answers = Answers(engine)
        async with anyio.create_task_group() as goes_away:
            goes_away.start_soon(answers.ask, 1)
            await reached(backend)
            goes_away.cancel_scope.cancel()
        assert engine.queue_depth == 0
        backend.gate.set()
        await answers.ask(2)
    assert answers.texts == {2: "w2"}


async def test_files_are_refused_past_the_limit_and_live_work_is_not() -> None:
    """A full queue answers at once; the sentence of a live stream is always read."""
    backend = GatedBackend()
    async with Engine(backend, queue_limit=2) as engine, anyio.create_task_group() as tasks:
        answers = Answers(engine)
        tasks.start_soon(answers.ask, 1)
        tasks.start_soon(answers.ask, 2)
        await anyio.wait_all_tasks_blocked()
        await answers.ask(3)
        assert isinstance(answers.errors[3], Overloaded)
        assert engine.queue_depth == 2
        tasks.start_soon(lambda: answers.ask(4, urgency=Urgency.FINAL))
        await anyio.wait_all_tasks_blocked()
        assert engine.queue_depth == 3
        backend.gate.set()
    assert answers.texts == {1: "w1", 2: "w2", 4: "w4"}


async def test_an_open_live_stream_keeps_a_worker_free() -> None:
    """Of two workers files get one while a stream is open, and both when it has closed."""
    backend = GatedBackend(FakeBackend(workers=2, generate_batch=1))
    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        answers = Answers(engine)
        with engine.open_stream():
            tasks.start_soon(answers.ask, 1)
            await reached(backend)
            tasks.start_soon(answers.ask, 2)
            await anyio.wait_all_tasks_blocked()
            assert backend.fake.calls == [(Encode, 1)]
            backend.reached.clear()
        await reached(backend)
        assert backend.fake.calls == [(Encode, 1), (Encode, 1)]
        backend.gate.set()


async def test_live_work_teaches_its_cost_while_all_workers_are_busy() -> None:
    """A call beside an idle worker is faster than calls will be when there are more streams."""
    backend = GatedBackend(FakeBackend(workers=2))
    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        answers = Answers(engine)
        backend.gate.set()
        await answers.ask(1, urgency=Urgency.UPDATE)
        assert engine.live_estimate(32).update_s == 0.0
        backend.gate.clear()
        backend.reached.clear()
        tasks.start_soon(answers.ask, 2)  # a file: its call is held, so that one worker is busy
        await reached(backend)
        backend.reached.clear()
        tasks.start_soon(lambda: answers.ask(3, urgency=Urgency.UPDATE))
        await reached(backend)
        backend.gate.set()
    assert answers.texts == {1: "w1", 2: "w2", 3: "w3"}
    assert engine.live_estimate(32).update_s > 0.0


async def test_a_rehearsal_is_refused_as_a_window_is() -> None:
    """What the model cannot do is no measure of anything."""
    async with Engine(FakeBackend(languages=frozenset({"en"}))) as engine:
        with pytest.raises(Unsupported):
            await engine.measure(window(1), DecodeOptions(language="xx"), Urgency.UPDATE)


async def test_drain_finishes_what_was_admitted_and_takes_no_more() -> None:
    """A shutdown loses no window that waits, and refuses the next one."""
    backend = GatedBackend()
    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        answers = Answers(engine)
        tasks.start_soon(answers.ask, 1)
        tasks.start_soon(answers.ask, 2)
        await reached(backend)
        drained: list[bool] = []

        async def drain() -> None:
            drained.append(await engine.drain(TIMEOUT_S))

        tasks.start_soon(drain)
        await anyio.wait_all_tasks_blocked()
        await answers.ask(3)
        assert isinstance(answers.errors[3], Draining)
        backend.gate.set()
    assert drained == [True]
    assert answers.texts == {1: "w1", 2: "w2"}


async def test_drain_says_when_time_was_too_short() -> None:
    """Work that is not done in time is reported, not waited for."""
    backend = GatedBackend()
    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(Answers(engine).ask, 1)
        await reached(backend)
        assert await engine.drain(0.0) is False
        backend.gate.set()


async def test_drain_of_an_idle_engine_is_done() -> None:
    """Nothing to wait for."""
    async with Engine(FakeBackend()) as engine:
        assert await engine.drain(0.0) is True


async def test_leaving_answers_all_who_wait_and_closes_the_backend() -> None:
    """Nobody hangs: callers get Draining at once, then threads end and the weights go."""
    backend = GatedBackend()
    engine = Engine(backend)
    answers = Answers(engine)
    async with anyio.create_task_group() as leaving:
        async with anyio.create_task_group() as callers:
            await engine.__aenter__()
            callers.start_soon(answers.ask, 1)
            callers.start_soon(answers.ask, 2)
            await reached(backend)
            leaving.start_soon(engine.__aexit__, None, None, None)
        assert sorted(answers.errors) == [1, 2]
        assert all(isinstance(error, Draining) for error in answers.errors.values())
        assert not backend.fake.is_closed  # a worker still stands at the gate
        backend.gate.set()
    assert backend.fake.is_closed
    assert not any(worker.is_alive() for worker in engine._workers)


async def test_cancellation_while_leaving_still_closes_the_backend() -> None:
    """Weights are freed after the last call has come back, however the server goes down."""
    backend = GatedBackend()
    engine = Engine(backend)
    async with anyio.create_task_group() as tasks:
        await engine.__aenter__()
        tasks.start_soon(Answers(engine).ask, 1)
        await reached(backend)
        tasks.start_soon(engine.__aexit__, None, None, None)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        backend.gate.set()
    assert backend.fake.is_closed
    assert not any(worker.is_alive() for worker in engine._workers)


async def test_what_a_model_cannot_do_is_refused() -> None:
    """An option is honoured or refused by name, never dropped; the backend is not asked."""
    backend = FakeBackend()
    async with Engine(backend) as engine:
        with pytest.raises(Unsupported, match="language 'fr'"):
            await engine.decode(window(1), DecodeOptions(language="fr"))
    assert backend.calls == []


async def test_silence_is_read_as_silence() -> None:
    """A window without words is an answer, not a failure."""
    silence = Window(pause(1.0), (WindowSpan(0, 0, 16000),))
    async with Engine(FakeBackend()) as engine:
        reading = await engine.decode(silence, ENGLISH)
    assert reading.segments == ()
    assert np.all(silence.samples == 0)


async def test_a_context_that_is_doubted_too_often_is_told_once() -> None:
    """The operator reads which model it is and what to do; the contexts stay as they are."""
    doubtful = window(int(Trouble.GUESSES_WHILE_COLD))
    with capture_logs() as logs:
        async with Engine(FakeBackend()) as engine:
            for n in range(FEWEST_WINDOWS + 20):
                await engine.decode(window(n + 1) if n % 20 else doubtful, ENGLISH)
            able = engine.capabilities
    (warning,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert (warning["model"], warning["read_again"]) == ("fake", 5)
    assert "whisperlive calibrate" in warning["event"]
    assert able.contexts_s == FakeBackend().contexts_s


async def test_what_says_nothing_about_short_contexts_is_not_counted() -> None:
    """Updates may be doubted as often as they like, and so may a model in its full context."""
    doubtful = window(int(Trouble.GUESSES_WHILE_COLD))
    with capture_logs() as logs:
        for backend, options in [
            (FakeBackend(), replace(ENGLISH, is_guess=True)),
            (FakeBackend(contexts_s=(30.0,)), ENGLISH),
        ]:
            async with Engine(backend) as engine:
                for _ in range(FEWEST_WINDOWS + 1):
                    await engine.decode(doubtful, options)
    assert not logs
