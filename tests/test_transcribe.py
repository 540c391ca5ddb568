import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

import anyio
import anyio.to_thread
import numpy as np
import pytest
import structlog
from gated_backend import TIMEOUT_S, GatedBackend
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperlive_hybrid.backends.base import Backend, DetectLanguage, Encode
from whisperlive_hybrid.backends.fake import (
    PAUSE_S,
    WORD_S,
    EnergyVad,
    FakeBackend,
    FakeEncoded,
    Trouble,
    pause,
    speak,
)
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BackendFailed, BadAudio, Unsupported
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.transcribe import FileRequest, Transcriber, Transcript
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    DecodeResult,
    Language,
    Samples,
    Window,
    join_text,
)

pytestmark = pytest.mark.anyio

BRISK = VadOptions(min_silence_s=0.4, post_roll_s=0.2)
"""Many short windows, for tests of what happens between windows."""

ENGLISH = FileRequest(DecodeOptions(language="en", words=True), BRISK)

STORY = [(0.7, [1, 2, 3]), (1.5, [4]), (0.2, [5, 6]), (4.0, [*range(7, 50)]), (0.9, [50, 51])]
"""(seconds of silence, words spoken after it); the fourth utterance is 15.5 s long."""


def recording(story: list[tuple[float, list[int]]]) -> Samples:
    """The audio of a story, with silence behind it."""
    return np.concatenate(
        [part for silence, words in story for part in (pause(silence), speak(words))] + [pause(1.0)]
    )


def spoken(story: list[tuple[float, list[int]]]) -> list[tuple[str, float]]:
    """Each word of a story with the time at which it begins."""
    words: list[tuple[str, float]] = []
    now = 0.0
    for silence, levels in story:
        now += silence
        for level in levels:
            words.append((f" w{level}", now))
            now += WORD_S + PAUSE_S
    return words


async def transcribed(
    blocks: Iterable[Samples], request: FileRequest = ENGLISH, backend: Backend | None = None
) -> Transcript:
    """A recording, read with a fresh engine."""
    async with Engine(backend or FakeBackend()) as engine:
        return await Transcriber(engine, EnergyVad()).transcribe(blocks, request)


def assert_tells(transcript: Transcript, story: list[tuple[float, list[int]]]) -> None:
    """Every word once, in order, and within 50 ms of where it was spoken."""
    found = [word for segment in transcript.segments for word in segment.words or ()]
    wanted = spoken(story)
    assert [word.text for word in found] == [text for text, _ in wanted]
    for word, (_, start) in zip(found, wanted, strict=True):
        assert (word.start, word.end) == pytest.approx((start, start + WORD_S), abs=0.05)


async def test_a_file_that_was_accepted_is_read_to_its_end() -> None:
    """The bound of the queue turns away new files, never the second half of an old one."""
    story = [(1.0, [n]) for n in range(1, 30)]
    async with Engine(FakeBackend(), queue_limit=1) as engine:
        transcriber = Transcriber(engine, EnergyVad())
        assert_tells(await transcriber.transcribe([recording(story)], ENGLISH), story)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("longest_s", [2.0, 10.0, 30.0])
@pytest.mark.parametrize("enabled", [True, False])
async def test_every_word_once_in_order_and_in_time(
    workers: int, longest_s: float, enabled: bool
) -> None:
    """Whatever is cut, batched and read side by side, the transcript tells the story."""
    backend = FakeBackend(workers=workers, longest_window_s=longest_s)
    request = FileRequest(ENGLISH.options, VadOptions(enabled=enabled))
    transcript = await transcribed([recording(STORY)], request, backend)
    assert_tells(transcript, STORY)
    assert transcript.duration == len(recording(STORY)) / SAMPLE_RATE


@settings(max_examples=25)
@given(
    silences=st.lists(st.floats(0.05, 3.0), min_size=1, max_size=6),
    words=st.lists(st.integers(1, 30), min_size=6, max_size=6),
    block=st.integers(50, 40_000),
)
async def test_block_sizes_and_pauses_change_nothing(
    silences: list[float], words: list[int], block: int
) -> None:
    """However the audio comes and whoever pauses where, no word is lost, doubled or moved."""
    numbers = count(1)
    story = [
        (silence, [next(numbers) for _ in range(n)])
        for silence, n in zip(silences, words, strict=False)
    ]
    samples = recording(story)
    blocks = [samples[i : i + block] for i in range(0, len(samples), block)]
    assert_tells(await transcribed(blocks), story)


async def test_pauses_stay_in_a_window_and_long_silence_does_not() -> None:
    """The model reads best what it sees with its pauses; silence of seconds is only cost."""
    backend = FakeBackend(contexts_s=(30.0,))
    story = [(1.0, [2 * n, 2 * n + 1]) for n in range(1, 16)] + [(5.0, [40, 41]), (1.0, [42])]
    transcript = await transcribed([recording(story)], FileRequest(ENGLISH.options), backend)
    assert_tells(transcript, story)
    assert 2 <= sum(kind is Encode for kind, _ in backend.calls) <= 3
    assert transcript.speech < transcript.duration - 2.0


async def test_speech_without_a_pause_is_cut() -> None:
    """However endless a sentence is, a model sees no more than it reads well at once."""
    backend = FakeBackend(longest_window_s=20.0)
    story = [(0.5, [*range(1, 81)])]  # 28.8 s
    assert_tells(await transcribed([recording(story)], backend=backend), story)
    assert sum(kind is Encode for kind, _ in backend.calls) == 2


async def test_silence_is_an_empty_transcript() -> None:
    """Nobody speaks: no text, no model call, the duration all the same."""
    backend = FakeBackend()
    transcript = await transcribed([pause(5.0)], backend=backend)
    assert transcript == Transcript((), Language("en", 1.0), 5.0, 0.0)
    assert backend.calls == []
    assert (await transcribed([])).duration == 0.0


async def test_an_unknown_language_is_reported_for_silence() -> None:
    """Where nobody speaks there is no language, and that is said by its probability."""
    transcript = await transcribed([pause(5.0)], FileRequest())
    assert transcript.language == Language("en", 0.0)


async def test_a_sure_language_is_asked_once() -> None:
    """The first window decides; all others are read in its language, and one is checked for it."""
    backend = FakeBackend(language=Language("de", 0.9))
    transcript = await transcribed([recording(STORY)], FileRequest(), backend)
    assert transcript.language == Language("de", 0.9)
    assert sum(kind is DetectLanguage for kind, _ in backend.calls) == 2
    assert join_text(transcript.segments) == " ".join(f"w{n}" for n in range(1, 52))


async def test_the_language_is_one_of_the_candidates() -> None:
    """Whatever else the model would rather hear."""
    backend = FakeBackend(language=Language("de", 0.9), languages=frozenset({"de", "en", "es"}))
    wish = FileRequest(DecodeOptions(candidates=("es", "en")))
    transcript = await transcribed([recording(STORY)], wish, backend)
    assert transcript.language.code == "es"
    assert join_text(transcript.segments) == " ".join(f"w{n}" for n in range(1, 52))


async def test_an_unsure_language_is_put_to_a_vote() -> None:
    """Four windows are heard, and no word of them is lost meanwhile."""
    backend = FakeBackend(language=Language("de", 0.3))
    story = [(1.5, [n]) for n in range(1, 11)]
    transcript = await transcribed([recording(story)], FileRequest(vad=BRISK), backend)
    assert transcript.language == Language("de", 0.3)
    assert sum(kind is DetectLanguage for kind, _ in backend.calls) == 4
    assert join_text(transcript.segments) == " ".join(f"w{n}" for n in range(1, 11))


class Polyglot(FakeBackend):
    """Hears German, unsure of it, in a window with a word above w500, else English."""

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Answer for each by its words."""
        return [
            Language("de" if work.encoded.words[0][0] > 500 else "en", 0.4)
            for work in batch
            if isinstance(work.encoded, FakeEncoded)
        ]


async def test_windows_that_lost_the_vote_are_read_again() -> None:
    """What was read in the wrong language is read once more; the others are not."""
    backend = Polyglot()
    story = [(1.5, [501]), (1.5, [1]), (1.5, [2]), (1.5, [3])]
    transcript = await transcribed([recording(story)], FileRequest(vad=BRISK), backend)
    assert transcript.language == Language("en", 0.4)
    assert join_text(transcript.segments) == "w501 w1 w2 w3"
    assert sum(kind is Encode for kind, _ in backend.calls) == 5


async def test_a_short_unsure_recording_is_decided_at_its_end() -> None:
    """Fewer windows than a vote wants are enough when there are no more."""
    backend = FakeBackend(language=Language("de", 0.3))
    transcript = await transcribed([recording([(1.0, [1]), (1.0, [2])])], FileRequest(), backend)
    assert transcript.language == Language("de", 0.3)
    assert join_text(transcript.segments) == "w1 w2"


GERMAN = {level: Language("de", 0.9) for level in range(500, 800)}
FAINT = {level: Language("fr", 0.4) for level in range(800, 900)}
TWO_LANGUAGES = [
    *((0.5, [*range(1, 13)]), (0.3, [*range(501, 513)])),  # 4.3 s each, in one window
    *((3.0, [13, 14]), (3.0, [*range(513, 521)])),
    *((3.0, [*range(801, 809)]), (3.0, [*range(15, 23)])),
]


@pytest.mark.parametrize("told", [None, "en", "de"])
@pytest.mark.parametrize("workers", [1, 3])
async def test_each_stretch_is_read_in_its_language(told: str | None, workers: int) -> None:
    """Also within a window; what is too short or unsure is in the language before it."""
    backend = FakeBackend(foreign=GERMAN | FAINT, workers=workers)
    request = FileRequest(DecodeOptions(language=told, words=True, switch_threshold=0.7))
    transcript = await transcribed([recording(TWO_LANGUAGES)], request, backend)
    said = [(segment.text.split()[0], segment.language) for segment in transcript.segments]
    assert said == [
        *(("w1", "en"), ("w501", "de"), ("w13", "de")),
        *(("w513", "de"), ("w801", "de"), ("w15", "en")),
    ]
    assert transcript.language.code == (told or "en")
    assert_tells(transcript, TWO_LANGUAGES)


async def test_one_language_costs_no_word_where_several_are_possible() -> None:
    """The transcript is the one without that wish."""
    story, backend = recording(STORY), FakeBackend()
    usual = await transcribed([story], FileRequest(), backend)
    wish = FileRequest(DecodeOptions(switch_threshold=0.7))
    several = await transcribed([story], wish, backend)
    assert [each.text for each in several.segments] == [each.text for each in usual.segments]
    assert {each.language for each in usual.segments} == {None}
    assert {each.language for each in several.segments} == {"en"}


async def test_a_second_language_leaves_a_warning() -> None:
    """Once in a recording, however long it goes on."""
    backend = FakeBackend(foreign=GERMAN)
    story = [(1.0, [*range(1, 13)]), *((3.0, [*range(500 + n, 512 + n)]) for n in range(20))]
    with structlog.testing.capture_logs() as logs:
        await transcribed([recording(story)], FileRequest(), backend)
    [warning] = [each for each in logs if each["log_level"] == "warning"]
    assert (warning["language"], warning["detected"]) == ("en", "de")
    assert 5 < warning["start"] < 9


@pytest.mark.parametrize("request_", [ENGLISH, FileRequest()])
async def test_progress_is_in_order_and_complete(request_: FileRequest) -> None:
    """News come in the order of the recording, and together they are the transcript."""
    async with Engine(FakeBackend()) as engine:
        transcriber = Transcriber(engine, EnergyVad())
        async with transcriber.stream([recording(STORY)], request_) as transcription:
            news = [update async for update in transcription]
    transcript = transcription.transcript
    done = [advance.done for advance in news]
    assert done == sorted(done)
    last_word_end = spoken(STORY)[-1][1] + WORD_S
    assert last_word_end <= done[-1] <= transcript.duration
    assert tuple(s for advance in news for s in advance.segments) == transcript.segments
    assert {advance.language for advance in news} == {transcript.language}
    for advance in news:
        assert all(segment.end <= advance.done for segment in advance.segments)


async def test_audio_is_pulled_only_as_fast_as_windows_are_read() -> None:
    """One worker: a batch that runs, one that gathers, and the window that is being cut."""
    backend = GatedBackend(FakeBackend(generate_batch=2))
    fifth = threading.Event()
    n_read = [0]
    leads: list[int] = []

    async def count(transcriber: Transcriber) -> None:
        async with transcriber.stream(long_story(), ENGLISH) as transcription:
            async for _ in transcription:
                n_read[0] += 1

    def long_story() -> Iterator[Samples]:
        for n in range(1, 61):
            leads.append(n - n_read[0])
            if n == 5:
                fifth.set()
            yield np.concatenate([pause(0.8), speak([n])])

    async with Engine(backend) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(count, Transcriber(engine, EnergyVad()))
        assert await anyio.to_thread.run_sync(fifth.wait, TIMEOUT_S)
        await reached(backend)
        backend.gate.set()
    assert n_read == [60]
    assert max(leads) == 5


async def reached(backend: GatedBackend) -> None:
    """Wait until a worker stands at the gate."""
    assert await anyio.to_thread.run_sync(backend.reached.wait, TIMEOUT_S)


async def test_what_the_blocks_raise_comes_out_as_itself() -> None:
    """Audio that breaks off is a broken file: its error, cause and all, and nothing left over."""
    cause = ValueError("bits ran out")

    def broken() -> Iterator[Samples]:
        yield recording(STORY)
        raise BadAudio("The file breaks off.") from cause

    async with Engine(FakeBackend()) as engine:
        with pytest.raises(BadAudio, match="breaks off") as failure:
            await Transcriber(engine, EnergyVad()).transcribe(broken(), ENGLISH)
        assert engine.queue_depth == 0
    assert failure.value.__cause__ is cause


@pytest.mark.parametrize("trouble", [Trouble.ITEM_FAILS, Trouble.CALL_DIES])
async def test_what_the_engine_raises_comes_out_as_itself(trouble: Trouble) -> None:
    """One window that cannot be read fails its recording, with the cause for the log."""
    story = [(1.0, [1]), (1.0, [int(trouble)]), (1.0, [2])]
    async with Engine(FakeBackend()) as engine:
        with pytest.raises(BackendFailed) as failure:
            await Transcriber(engine, EnergyVad()).transcribe([recording(story)], ENGLISH)
        assert engine.queue_depth == 0
    assert isinstance(failure.value.__cause__, RuntimeError)


async def test_what_the_consumer_raises_comes_out_as_itself() -> None:
    """A client that takes no more text ends its recording."""

    async def consume(transcriber: Transcriber) -> None:
        async with transcriber.stream([recording(STORY)], ENGLISH) as transcription:
            async for _ in transcription:
                raise ConnectionResetError("the client has gone")

    async with Engine(FakeBackend()) as engine:
        with pytest.raises(ConnectionResetError):
            await consume(Transcriber(engine, EnergyVad()))
        assert engine.queue_depth == 0


async def test_a_consumer_may_stop_early() -> None:
    """What is queued is withdrawn, and the transcript is that of what was read."""
    async with Engine(FakeBackend()) as engine:
        transcriber = Transcriber(engine, EnergyVad())
        async with transcriber.stream([recording(STORY)], ENGLISH) as transcription:
            update = await anext(aiter(transcription))
        assert engine.queue_depth == 0
    assert transcription.transcript.segments == update.segments


@pytest.mark.parametrize("request_", [ENGLISH, FileRequest()])
async def test_a_cancelled_recording_withdraws_its_work(request_: FileRequest) -> None:
    """A caller who goes away takes every queued window along."""
    backend = GatedBackend()
    async with Engine(backend) as engine:
        async with anyio.create_task_group() as tasks:
            transcriber = Transcriber(engine, EnergyVad())
            tasks.start_soon(transcriber.transcribe, [recording(STORY)], request_)
            await reached(backend)
            tasks.cancel_scope.cancel()
        assert engine.queue_depth == 0
        backend.gate.set()


async def test_options_are_checked_before_audio_is_read() -> None:
    """A wish that cannot be honoured costs no decoding."""
    request = FileRequest(DecodeOptions(language="fr"))

    is_read: list[bool] = []

    def watched() -> Iterator[Samples]:
        is_read.append(True)
        yield pause(1.0)

    with pytest.raises(Unsupported):
        await transcribed(watched(), request)
    assert not is_read


async def test_blocks_are_read_off_the_event_loop() -> None:
    """Decoding media is real work; the loop stays free for those who listen."""
    threads: set[int] = set()

    def watched() -> Iterator[Samples]:
        threads.add(threading.get_ident())
        yield recording(STORY)

    await transcribed(watched())
    assert threads
    assert threading.get_ident() not in threads


class Notebook:
    """A memory that a test can look into."""

    def __init__(self) -> None:
        self.readings: dict[tuple[float, str | None], DecodeResult] = {}

    async def recall(self, window: Window, language: str | None) -> DecodeResult | None:
        """Look it up."""
        return self.readings.get((window.start, language))

    async def keep(self, window: Window, language: str | None, reading: DecodeResult) -> None:
        """Write it down, once."""
        assert (window.start, language) not in self.readings
        self.readings[window.start, language] = reading


@pytest.mark.parametrize("told", ["en", None])
@pytest.mark.parametrize("known", range(6))
async def test_what_is_remembered_is_not_read_again(told: str | None, known: int) -> None:
    """A recording that is begun again gives the same transcript, from whatever was kept of it.

    Also while the language is still being found, where a window may be read in two of them.
    """
    request = FileRequest(DecodeOptions(language=told, words=True))
    story = [(1.5, [501]), (1.5, [1]), (1.5, [2]), (1.5, [3]), (1.5, [4])]
    undisturbed = Notebook()
    async with Engine(Polyglot()) as engine:
        whole = await Transcriber(engine, EnergyVad()).transcribe(
            [recording(story)], request, undisturbed
        )
    backend, resumed = Polyglot(), Notebook()
    resumed.readings = dict(list(undisturbed.readings.items())[:known])
    remembered = len(resumed.readings)
    async with Engine(backend) as engine:
        again = await Transcriber(engine, EnergyVad()).transcribe(
            [recording(story)], request, resumed
        )
    assert again == whole
    assert resumed.readings == undisturbed.readings
    n_encoded = sum(size for kind, size in backend.calls if kind is Encode)
    assert n_encoded == len(undisturbed.readings) - remembered
