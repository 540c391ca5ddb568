"""The live session over the fake backend: what is said comes out once, in order, at its time."""

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise

import anyio
import anyio.to_thread
import numpy as np
import pytest
import structlog
from gated_backend import TIMEOUT_S, GatedBackend
from hypothesis import given, settings
from hypothesis import strategies as st
from observer_log import ObserverLog

from whisperlive_hybrid.backends.base import Backend, Capabilities, DetectLanguage, Generate
from whisperlive_hybrid.backends.fake import (
    EnergyVad,
    FakeBackend,
    FakeEncoded,
    FakeVocabulary,
    Trouble,
    pause,
    speak,
)
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.engine.observer import NO_OBSERVER, Observer
from whisperlive_hybrid.errors import Unsupported
from whisperlive_hybrid.live.session import BACKLOG, LiveOptions, LiveSession
from whisperlive_hybrid.protocol.live import Gap, LanguageDetected, TextUpdate
from whisperlive_hybrid.speech.regions import LIVE_VAD, VadOptions
from whisperlive_hybrid.text.endings import LONGEST_UPDATE_S, EndingOptions
from whisperlive_hybrid.transcribe import FileRequest, Transcriber
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    Hypothesis,
    Language,
    Samples,
    Segment,
    Urgency,
)

pytestmark = pytest.mark.anyio

BRISK = VadOptions(min_silence_s=0.4, post_roll_s=0.2)
"""Utterances that end soon, so that tests need little audio."""

ENGLISH = LiveOptions(DecodeOptions(language="en"), BRISK)
ANY_LANGUAGE = LiveOptions(vad=BRISK)
WITH_WORDS = LiveOptions(DecodeOptions(language="en", words=True))
WITHOUT_VAD = LiveOptions(DecodeOptions(language="en"), VadOptions(enabled=False))

FAILING = int(Trouble.ITEM_FAILS)
DYING = int(Trouble.CALL_DIES)


class Stage:
    """A session and what it publishes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.news: list[LanguageDetected | TextUpdate | Gap] = []
        self._more = anyio.Event()

    async def publish(self, news: LanguageDetected | TextUpdate | Gap) -> None:
        """Keep it."""
        self.news.append(news)
        self._more.set()
        self._more = anyio.Event()

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait for news that make `fact` true."""
        with anyio.fail_after(TIMEOUT_S):
            while not fact():
                await self._more.wait()

    async def after(self, session: LiveSession, samples: Samples) -> None:
        """Let the session hear something, and wait for the next news."""
        n_news = len(self.news)
        await session.receive(samples)
        await self.until(lambda: len(self.news) > n_news)

    @property
    def completed(self) -> list[Segment]:
        """All completed segments."""
        return [s for each in self.news if isinstance(each, TextUpdate) for s in each.completed]

    @property
    def tentative(self) -> list[str]:
        """All tentative texts there ever were."""
        texts = [each for each in self.news if isinstance(each, TextUpdate)]
        return [each.tentative.text for each in texts if each.tentative]

    @property
    def said(self) -> list[int]:
        """The words of the completed segments."""
        return words_of(self.completed)

    @property
    def gaps(self) -> list[Gap]:
        """What was lost to failures of the model."""
        return [each for each in self.news if isinstance(each, Gap)]

    @property
    def languages(self) -> list[str]:
        """The languages that were found."""
        return [each.language.code for each in self.news if isinstance(each, LanguageDetected)]


@asynccontextmanager
async def stage(
    backend: Backend | None = None,
    live: LiveOptions = ENGLISH,
    update_interval: Callable[[], float] = lambda: 1.0,
    observer: Observer = NO_OBSERVER,
) -> AsyncIterator[tuple[Stage, LiveSession]]:
    """A session that runs; leaving waits until it has published everything."""
    async with Engine(backend or FakeBackend(), observer=observer) as engine:
        scene = Stage(engine)
        async with anyio.create_task_group() as tasks:
            session = LiveSession(
                engine,
                EnergyVad(),
                live,
                scene.publish,
                tasks,
                update_interval=update_interval,
            )
            tasks.start_soon(session.run)
            yield scene, session


def performed(
    blocks: Iterable[Samples], live: LiveOptions = ENGLISH, backend: Backend | None = None
) -> Stage:
    """Let a session hear a whole stream as fast as it may; return what came of it."""

    async def run() -> Stage:
        async with stage(backend, live) as (scene, session):
            for block in blocks:
                await session.receive(block)
            await session.finish()
        return scene

    return anyio.run(run)


def blocks_of(samples: Samples, seconds: float) -> list[Samples]:
    """Whole blocks of so many seconds; what is left behind them is dropped."""
    n = round(seconds * SAMPLE_RATE)
    return [samples[first : first + n] for first in range(0, len(samples) - n + 1, n)]


def joined(*pieces: Samples) -> Samples:
    """One recording of these pieces."""
    samples: Samples = np.concatenate([np.zeros(0, np.float32), *pieces])
    return samples


def words_of(segments: Iterable[Segment]) -> list[int]:
    """The levels that were read."""
    return [int(word.strip("w.")) for each in segments for word in each.text.split()]


def utterances(*groups: Sequence[int]) -> Samples:
    """Each group as an utterance of its own."""
    return joined(*(joined(speak(group), pause(0.8)) for group in groups))


def crackle(seconds: float) -> Samples:
    """Sound in which the fake hears a voice but no word; never at the level of one for long."""
    ticks = np.arange(round(seconds * SAMPLE_RATE)) // 320
    samples: Samples = np.where(ticks % 2, 0.7, 0.6).astype(np.float32)
    return samples


def split(samples: Samples, cuts: Iterable[int]) -> list[Samples]:
    """The recording cut at these places."""
    return np.split(samples, sorted(cut % (len(samples) + 1) for cut in cuts))


class Sentences(FakeVocabulary):
    """Every tenth word ends a sentence."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The words of the text tokens."""
        return "".join(text for text, _ in self.split_words(tokens, "en"))

    def split_words(self, tokens: Sequence[int], language: str) -> list[tuple[str, int]]:
        """One word per token."""
        del language
        words = [token for token in tokens if token < self.end_of_text]
        return [(f" w{token}" + ("" if token % 10 else "."), 1) for token in words]


@dataclass(slots=True)
class Polyglot(FakeBackend):
    """Takes words from 500 on for German, and sound without words too; `sure` of everything."""

    sure: float = 0.9
    read: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
    """(words, language) of every generate."""

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Judge by the first word."""
        heard = [levels(work) for work in batch]
        return [Language("en" if w and w[0] < 500 else "de", self.sure) for w in heard]

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Remember in which language."""
        self.read += [(levels(work), work.language.code) for work in batch]
        return FakeBackend.generate(self, batch)


@dataclass(slots=True)
class Wordless(FakeBackend):
    """Measures no word times."""

    @property
    def capabilities(self) -> Capabilities:
        """Those of the fake but for that."""
        return replace(super(Wordless, self).capabilities, word_times=False)


@dataclass(slots=True)
class Flaky(FakeBackend):
    """Fails as often as told on utterances with the word 13; guesses are spared."""

    failures: int = 1
    is_over: threading.Event = field(default_factory=threading.Event)

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Fail, or do not."""
        unlucky = any(13 in levels(work) and work.options.beam_size > 1 for work in batch)
        if unlucky and self.failures:
            self.failures -= 1
            if not self.failures:
                self.is_over.set()
            raise RuntimeError("out of luck")
        return FakeBackend.generate(self, batch)


def levels(work: DetectLanguage | Generate) -> tuple[int, ...]:
    """The words in some encoder output."""
    assert isinstance(work.encoded, FakeEncoded)
    return tuple(level for level, _, _ in work.encoded.words)


ordinary = st.integers(1, 989)
speech = st.lists(
    st.tuples(st.lists(ordinary, min_size=1, max_size=6), st.floats(0.1, 1.5)), max_size=6
)


def recording(script: Sequence[tuple[Sequence[int], float]]) -> Samples:
    """Words with pauses behind them."""
    return joined(*(joined(speak(words), pause(length)) for words, length in script))


class TestWords:
    """Every word once, in order, at its time."""

    @given(speech, st.lists(st.integers(0, 10**6), max_size=8))
    @settings(max_examples=40)
    def test_every_word_once_whatever_the_split(
        self, script: list[tuple[list[int], float]], cuts: list[int]
    ) -> None:
        """However a stream is cut into frames, its completed segments are the same."""
        samples = recording(script)
        whole, pieces = performed([samples]), performed(split(samples, cuts))
        assert whole.said == [word for words, _ in script for word in words]
        assert pieces.completed == whole.completed

    @pytest.mark.parametrize("size", [1, 100, 512, 1024, 4096, 8000, 65_536])
    def test_sizes_of_known_clients(self, size: int) -> None:
        """Frames of any client, and of a single sample, give the same text."""
        samples = utterances([1, 2], [3])[: 600 if size == 1 else None]
        frames = split(samples, range(size, len(samples), size))
        assert performed(frames).completed == performed([samples]).completed

    @given(speech)
    @settings(max_examples=30)
    def test_same_text_as_a_file(self, script: list[tuple[list[int], float]]) -> None:
        """The law: the same audio gives the same segments through both doors."""
        samples = recording(script)

        async def file() -> list[Segment]:
            async with Engine(FakeBackend()) as engine:
                request = FileRequest(ENGLISH.options, ENGLISH.vad)
                transcript = await Transcriber(engine, EnergyVad()).transcribe([samples], request)
                return list(transcript.segments)

        assert performed([samples]).completed == anyio.run(file)

    def test_times(self) -> None:
        """Words lie where they were spoken, on the clock of the recording."""
        samples = joined(pause(1.0), speak([1, 2]), pause(2.0), speak([3]), pause(0.3))
        heard = [w for s in performed([samples], WITH_WORDS).completed for w in s.words or ()]
        assert [word.text for word in heard] == [" w1", " w2", " w3"]
        spoken = [(1.0, 1.3), (1.36, 1.66), (3.72, 4.02)]
        for word, (start, end) in zip(heard, spoken, strict=True):
            assert (word.start, word.end) == pytest.approx((start, end), abs=0.025)

    @given(speech)
    @settings(max_examples=20)
    def test_completed_segments_never_overlap(self, script: list[tuple[list[int], float]]) -> None:
        """Completed segments come in order, each ends before the next begins."""
        segments = performed([recording(script)]).completed
        times = [time for each in segments for time in (each.start, each.end)]
        assert all(a <= b for a, b in pairwise(times))

    def test_the_tail_is_completed(self) -> None:
        """A word that is cut off by the end of the stream, and is all of it, is completed."""
        assert performed([speak([7])[:3200]]).said == [7]

    def test_a_word_behind_an_utterance_is_completed(self) -> None:
        """What is left after the last endpoint is not too short to be read."""
        assert performed([joined(utterances([1, 2, 3]), speak([4])[:3200])]).said == [1, 2, 3, 4]

    @pytest.mark.parametrize("live", [ENGLISH, ANY_LANGUAGE], ids=["told", "open"])
    @pytest.mark.parametrize(
        "samples", [pause(0), pause(10), crackle(3)], ids=["nothing", "silence", "noise"]
    )
    def test_silence_publishes_nothing(self, samples: Samples, live: LiveOptions) -> None:
        """Where nobody speaks there is no text and no language."""
        assert performed([samples], live).news == []

    def test_long_speech_is_completed_in_parts(self) -> None:
        """Speech without an endpoint is completed while it goes on."""
        words = list(range(1, 97))
        samples = joined(*(joined(speak(words[i : i + 4]), pause(0.2)) for i in range(0, 96, 4)))

        async def run() -> None:
            async with stage() as (scene, session):
                await session.receive(samples)
                await scene.until(lambda: bool(scene.completed))
                assert scene.said == words[: len(scene.said)]
                await session.finish()
            assert scene.said == words

        anyio.run(run)

    async def test_a_monologue_is_completed_in_its_pauses(self) -> None:
        """Where an operator wants text soon: all but the last seconds, and no word twice."""
        words = list(range(1, 49))
        phrases = [joined(speak(words[i : i + 4]), pause(0.15)) for i in range(0, 48, 4)]
        endings = EndingOptions(patience_s=3.0, shortest_s=1.0)
        async with stage(live=replace(ENGLISH, endings=endings)) as (scene, session):
            for block in blocks_of(joined(*phrases, pause(0.2)), 1.0):
                await scene.after(session, block)
            await scene.until(lambda: len(scene.said) >= 28)
            await session.finish()
        assert len(scene.completed) > 3
        assert scene.said == words
        for before, after in pairwise(scene.completed):
            assert before.end <= after.start
        assert all(segment.words is None for segment in scene.completed)
        n_completed = 0
        for news in (each for each in scene.news if isinstance(each, TextUpdate)):
            n_completed += len(words_of(news.completed))
            if news.tentative:  # it goes on where the completed text ends
                assert words_of([news.tentative])[0] == n_completed + 1

    async def test_without_word_times_an_utterance_is_completed_at_its_end(self) -> None:
        """However impatient the operator is."""
        phrases = [joined(speak(range(n, n + 4)), pause(0.15)) for n in range(1, 30, 4)]
        live = replace(ENGLISH, endings=EndingOptions(patience_s=3.0, shortest_s=1.0))
        async with stage(Wordless(), live) as (scene, session):
            for block in blocks_of(joined(*phrases), 1.0):
                await scene.after(session, block)
            await session.finish()
        assert len(scene.completed) == 1

    async def test_a_sentence_that_has_ended_ends_the_utterance(self) -> None:
        """Its final reading needs no pause, and what follows is shown on while it is completed."""
        words = list(range(1, 51))
        live = LiveOptions(ENGLISH.options, LIVE_VAD, EndingOptions(shortest_sentence_s=3.0))
        sentences = [joined(speak(words[i : i + 10]), pause(0.1)) for i in range(0, 50, 10)]
        samples = joined(*sentences, pause(0.5))
        async with stage(FakeBackend(vocabulary=Sentences()), live) as (scene, session):
            for block in blocks_of(samples, 1.0):
                await scene.after(session, block)
            await session.finish()
        ends = [segment.text.split()[-1] for segment in scene.completed]
        assert ends == ["w10.", "w20.", "w30.", "w40.", "w50."]
        assert scene.said == words
        completing = next(n for n in scene.news if isinstance(n, TextUpdate) and n.completed)
        assert completing.tentative
        assert words_of([completing.tentative])[0] == 11

    @given(speech)
    @settings(max_examples=20)
    def test_without_vad(self, script: list[tuple[list[int], float]]) -> None:
        """With the voice detector switched off nothing is lost either."""
        samples = joined(*(recording(script) for _ in range(3)))
        assert performed([samples], WITHOUT_VAD).said == 3 * [
            word for words, _ in script for word in words
        ]

    def test_without_vad_silence_publishes_nothing(self) -> None:
        """A minute of silence that is decoded is still silence."""
        assert performed([pause(60)], WITHOUT_VAD).news == []


class TestTentative:
    """TextUpdate before it is sure."""

    async def test_it_appears_while_somebody_speaks(self) -> None:
        """Three seconds of speech without a pause show text before anything is completed."""
        async with stage() as (scene, session):
            await session.receive(speak(range(1, 10)))
            await scene.until(lambda: bool(scene.tentative))
            assert scene.tentative[0].split()[0] == "w1"
            assert not scene.completed
            await session.finish()
        assert scene.said == list(range(1, 10))

    async def test_updates_are_as_far_apart_as_they_may_be(self) -> None:
        """Two seconds of speech are not read yet where three shall pass."""
        held = GatedBackend()
        held.gate.set()
        live = replace(ENGLISH, stall_s=TIMEOUT_S)
        async with stage(held, live, update_interval=lambda: 3.0) as (scene, session):
            await session.receive(speak(range(1, 6)))
            await anyio.wait_all_tasks_blocked()
            assert held.fake.calls == []
            await session.receive(speak(range(6, 14)))
            await scene.until(lambda: bool(scene.tentative))
            await session.finish()
        assert scene.said == list(range(1, 14))

    async def test_updates_read_the_newest_audio_of_a_monologue(self) -> None:
        """However long it lasts, an update reads some seconds, and shows all that is open."""
        words = list(range(1, 45))
        phrases = [joined(speak(words[i : i + 4]), pause(0.15)) for i in range(0, 44, 4)]
        notes = ObserverLog()
        live = LiveOptions(ENGLISH.options, LIVE_VAD, EndingOptions(shortest_sentence_s=60.0))
        async with stage(live=live, observer=notes) as (scene, session):
            for block in blocks_of(joined(*phrases, pause(0.9)), 1.0):
                await scene.after(session, block)
            await session.receive(pause(2.0))
            await session.finish()
        assert scene.said == words
        read_s = [each.audio_s for each in notes.asked_ if each.urgency is Urgency.UPDATE]
        assert max(read_s) < LONGEST_UPDATE_S + 2.0
        assert all(text.split()[0] == "w1" for text in scene.tentative)
        assert [len(text.split()) for text in scene.tentative] == sorted(
            len(text.split()) for text in scene.tentative
        )

    async def test_stalled_audio_is_shown(self) -> None:
        """When no more frames come, the words heard last are shown, however few they are."""
        async with stage(live=replace(ENGLISH, stall_s=0.01)) as (scene, session):
            await session.receive(joined(speak([1, 2]), pause(0.1)))
            await scene.until(lambda: " w1 w2" in scene.tentative)
            await session.receive(speak([3]))
            await scene.until(lambda: " w1 w2 w3" in scene.tentative)
            assert not scene.completed
            await session.finish()
        assert [segment.text.strip() for segment in scene.completed] == ["w1 w2 w3"]

    async def test_a_guess_is_shown_before_the_endpoint(self) -> None:
        """When the speaker seems to have ended, the whole utterance is shown."""
        async with stage() as (scene, session):
            await session.receive(joined(speak([1, 2]), pause(0.3)))
            await scene.until(lambda: " w1 w2" in scene.tentative or bool(scene.completed))
            assert not scene.completed
            await session.receive(pause(0.5))
            await scene.until(lambda: bool(scene.completed))
            await session.finish()
        assert scene.said == [1, 2]

    async def test_a_guess_is_discarded_when_the_speaker_goes_on(self) -> None:
        """A pause shorter than the endpoint ends no utterance and repeats no word."""
        async with stage() as (scene, session):
            await session.receive(joined(speak([1, 2]), pause(0.3)))
            await scene.until(lambda: " w1 w2" in scene.tentative)
            await scene.after(session, speak([3, 4, 5, 6]))
            assert scene.tentative[-1].split()[:3] == ["w1", "w2", "w3"]
            await session.receive(pause(0.8))
            await session.finish()
        assert [segment.text.strip() for segment in scene.completed] == ["w1 w2 w3 w4 w5 w6"]

    async def test_a_guess_in_flight_is_withdrawn(self) -> None:
        """A guess that is still being read when the speaker goes on leaves no trace."""
        held = GatedBackend()
        async with stage(held) as (scene, session):
            await session.receive(joined(speak([1, 2]), pause(0.3)))
            await anyio.to_thread.run_sync(held.reached.wait, TIMEOUT_S)
            await session.receive(joined(speak([3]), pause(0.8)))
            held.gate.set()
            await session.finish()
        assert [segment.text.strip() for segment in scene.completed] == ["w1 w2 w3"]
        assert scene.tentative == []

    async def test_nothing_tentative_without_a_language(self) -> None:
        """While the language is open there is no guess, which might be nonsense."""
        async with stage(FakeBackend(language=Language("en", 0.4)), ANY_LANGUAGE) as (
            scene,
            session,
        ):
            await session.receive(joined(speak([1, 2, 3, 4]), pause(0.3)))
            await session.receive(speak([5]))
            await session.finish()
        assert scene.tentative == []
        assert scene.said == [1, 2, 3, 4, 5]


class TestLanguage:
    """The language of a stream."""

    async def test_it_is_found_once_before_any_text(self) -> None:
        """An open language is told exactly once, ahead of the first text."""
        async with stage(live=ANY_LANGUAGE) as (scene, session):
            await session.receive(utterances([1, 2, 3, 4], [5], [6]))
            await session.finish()
        assert scene.news[0] == LanguageDetected(Language("en", 0.9))
        assert scene.languages == ["en"]
        assert scene.said == [1, 2, 3, 4, 5, 6]

    async def test_a_told_language_is_not_found(self) -> None:
        """A client that named the language hears nothing of it."""
        async with stage() as (scene, session):
            await session.receive(utterances([1], [2]))
            await session.finish()
        assert scene.languages == []

    async def test_undecided_windows_are_held_then_shown(self) -> None:
        """Unsure windows wait for the vote, then all of them are shown in the winner's language."""
        backend = Polyglot(sure=0.4)
        async with stage(backend, ANY_LANGUAGE) as (scene, session):
            await session.receive(utterances([501], [2], [3]))
            await session.receive(utterances([4], [505]))
            await session.finish()
        assert scene.languages == ["en"]
        assert isinstance(scene.news[0], LanguageDetected)
        assert scene.said == [501, 2, 3, 4, 505]
        last_language = dict(backend.read)
        assert {last_language[word,] for word in scene.said} == {"en"}

    async def test_short_stream_in_doubt(self) -> None:
        """One unsure utterance and the end of the stream still give its text."""
        async with stage(Polyglot(sure=0.2), ANY_LANGUAGE) as (scene, session):
            await session.receive(utterances([501]))
            await session.finish()
        assert scene.languages == ["de"]
        assert scene.said == [501]

    async def test_noise_decides_nothing(self) -> None:
        """Sound without words does not settle the language, however sure the model is of it."""
        backend = Polyglot(sure=0.95)
        async with stage(backend, ANY_LANGUAGE) as (scene, session):
            for _ in range(4):
                await session.receive(crackle(1.0))
            await session.receive(pause(1.0))
            await session.receive(utterances([1, 2]))
            await session.finish()
        assert scene.languages == ["en"]
        assert scene.said == [1, 2]

    async def test_each_utterance_is_in_its_language(self) -> None:
        """Where several are possible; an unsure one is in that of the one before."""
        foreign = {level: Language("de", 0.9) for level in range(500, 600)}
        faint = {600: Language("fr", 0.4)}
        backend = FakeBackend(foreign=foreign | faint)
        live = LiveOptions(DecodeOptions(switch_threshold=0.7), BRISK)
        async with stage(backend, live) as (scene, session):
            await session.receive(utterances([1, 2, 3, 4], [*range(501, 509)]))
            await session.receive(utterances([*range(600, 608)], [*range(5, 13)]))
            await session.finish()
        assert scene.languages == ["en"]
        assert [(words_of([each])[0], each.language) for each in scene.completed] == [
            *((1, "en"), (501, "de"), (600, "de"), (5, "en")),
        ]

    async def test_a_second_language_leaves_a_warning(self) -> None:
        """Where one language holds for the whole stream."""
        foreign = {level: Language("de", 0.9) for level in range(500, 600)}
        with structlog.testing.capture_logs() as logs:
            async with stage(FakeBackend(foreign=foreign), ANY_LANGUAGE) as (scene, session):
                await session.receive(utterances([1, 2, 3, 4]))
                await scene.until(lambda: bool(scene.completed))
                await session.receive(utterances([*range(501, 513)]))
                await session.finish()
        assert [each["detected"] for each in logs if each["log_level"] == "warning"] == ["de"]

    async def test_unknown_language_is_refused(self) -> None:
        """A language that the model does not know is refused before anything is heard."""
        async with Engine(FakeBackend()) as engine:
            scene = Stage(engine)
            async with anyio.create_task_group() as tasks:
                live = LiveOptions(DecodeOptions(language="fr"))
                with pytest.raises(Unsupported, match="fr"):
                    LiveSession(engine, EnergyVad(), live, scene.publish, tasks)


class TestFailures:
    """A model that fails."""

    @pytest.mark.parametrize("trouble", [FAILING, DYING], ids=["item", "call"])
    async def test_two_failures_make_a_gap(self, trouble: int) -> None:
        """What the model can't read is told with its times, and the stream goes on."""
        async with stage() as (scene, session):
            await session.receive(utterances([1], [2, trouble], [3]))
            await session.finish()
        assert scene.said == [1, 3]
        (gap,) = scene.gaps
        assert gap.start <= 1.16
        assert 1.82 <= gap.end <= 2.62

    async def test_gap_comes_in_its_place(self) -> None:
        """A gap is told after the text before it and ahead of the text behind it."""
        async with stage() as (scene, session):
            await session.receive(utterances([1], [FAILING], [3]))
            await session.finish()
        kinds = [
            "gap" if isinstance(each, Gap) else words_of(each.completed)
            for each in scene.news
            if isinstance(each, Gap) or (isinstance(each, TextUpdate) and each.completed)
        ]
        assert kinds == [[1], "gap", [3]]

    async def test_one_failure_costs_nothing(self) -> None:
        """A failure that does not happen again leaves no gap."""
        async with stage(Flaky(failures=1)) as (scene, session):
            await session.receive(utterances([1], [13, 14], [3]))
            await session.finish()
        assert scene.said == [1, 13, 14, 3]
        assert scene.gaps == []

    async def test_a_withdrawn_guess_leaves_no_gap(self) -> None:
        """A guess that failed is no gap when the speaker goes on: the utterance is read again."""
        backend = Flaky(failures=2)
        async with stage(backend) as (scene, session):
            await session.receive(joined(speak([13]), pause(0.3)))
            await anyio.to_thread.run_sync(backend.is_over.wait, TIMEOUT_S)
            await session.receive(joined(speak([14]), pause(0.8)))
            await session.finish()
        assert scene.said == [13, 14]
        assert scene.gaps == []

    async def test_failure_of_a_second_reading_is_a_gap(self) -> None:
        """A window that can't be read again in the decided language is a gap, not the end."""
        async with stage(FailsInEnglish(sure=0.4), ANY_LANGUAGE) as (scene, session):
            await session.receive(utterances([501], [2], [3]))
            await session.receive(utterances([4], [5]))
            await session.finish()
        assert scene.said == [2, 3, 4, 5]
        assert len(scene.gaps) == 1


@dataclass(slots=True)
class FailsInEnglish(Polyglot):
    """Can't read word 501 as English."""

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Fail on it."""
        answers = Polyglot.generate(self, batch)
        return [
            RuntimeError("no") if 501 in levels(work) and work.language.code == "en" else answer
            for work, answer in zip(batch, answers, strict=True)
        ]


class TestPressure:
    """More than the model can read, and clients that leave."""

    async def test_a_fast_client_is_slowed_down(self) -> None:
        """With the model busy, `hear` waits after a few utterances; nothing is lost by it."""
        held = GatedBackend()
        words = list(range(1, 13))
        accepted: list[int] = []
        is_full = anyio.Event()

        async def feed() -> None:
            for word in words:
                await session.receive(utterances([word]))
                accepted.append(word)
                if len(accepted) == BACKLOG:
                    is_full.set()
            await session.finish()

        async with stage(held) as (scene, session), anyio.create_task_group() as feeding:
            feeding.start_soon(feed)
            with anyio.fail_after(TIMEOUT_S):
                await is_full.wait()
            for _ in range(200):  # turns in which it could hear on
                await anyio.to_thread.run_sync(accepted.copy)
            assert accepted == words[:BACKLOG]
            assert scene.engine.queue_depth <= BACKLOG + 2
            held.gate.set()
        assert scene.said == words

    async def test_a_stream_that_ends_early_takes_its_work_along(self) -> None:
        """Cancelling a stream withdraws what it has queued."""
        held = GatedBackend()
        async with Engine(held) as engine:
            scene = Stage(engine)
            async with anyio.create_task_group() as tasks:
                session = LiveSession(engine, EnergyVad(), ENGLISH, scene.publish, tasks)
                tasks.start_soon(session.run)
                await session.receive(utterances([1], [2], [3]))
                await anyio.to_thread.run_sync(held.reached.wait, TIMEOUT_S)
                assert engine.queue_depth > 0
                tasks.cancel_scope.cancel()
            assert engine.queue_depth == 0
            held.gate.set()

    async def test_streams_do_not_mix(self) -> None:
        """Streams that share an engine each get their own words."""
        async with Engine(FakeBackend(workers=2)) as engine:
            scenes = [Stage(engine) for _ in range(8)]

            async def stream(number: int) -> None:
                async with anyio.create_task_group() as tasks:
                    publish = scenes[number].publish
                    session = LiveSession(engine, EnergyVad(), ENGLISH, publish, tasks)
                    tasks.start_soon(session.run)
                    for turn in range(4):
                        await session.receive(utterances([100 * number + turn + 1]))
                    await session.finish()

            async with anyio.create_task_group() as streams:
                for number in range(8):
                    streams.start_soon(stream, number)
            assert [scene.said for scene in scenes] == [
                [100 * number + turn + 1 for turn in range(4)] for number in range(8)
            ]
