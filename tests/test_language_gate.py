from collections.abc import Sequence
from dataclasses import replace

import anyio
import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.backends.fake import FakeBackend
from whisperlive_hybrid.language_gate import SILENT_LANGUAGE, LanguageGate
from whisperlive_hybrid.text.language import requested_language
from whisperlive_hybrid.types import (
    DecodeOptions,
    DecodeResult,
    Language,
    Segment,
    Window,
    WindowSpan,
)

pytestmark = pytest.mark.anyio

UNSURE = 0.4


def window(number: int) -> Window:
    """Return the window of two seconds that begins at this one."""
    return Window(np.zeros(32_000, np.float32), (WindowSpan(0, number * 16_000, 32_000),))


def reading(code: str, probability: float, text: str = " hi") -> DecodeResult:
    """Return what a model answers: one segment, or none for an empty text."""
    segment = Segment(0, 1, text, (), 0.0, -0.1, 1.0, 0.0)
    return DecodeResult((segment,) if text else (), Language(code, probability))


class Decoder:
    """Reads a window in the language asked for, and remembers which."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str | None]] = []

    async def __call__(self, window: Window, language: Language | None) -> DecodeResult:
        """Read again."""
        self.asked.append((window.start, language.code if language else None))
        return reading(language.code if language else "en", 1.0, " again")


def starts(reads: Sequence[tuple[Window, DecodeResult]]) -> list[float]:
    """Return when each window begins."""
    return [window.start for window, _ in reads]


async def test_told_language_holds_nothing_back() -> None:
    """With a language told, each window is shown as it comes and read no second time."""
    decode = Decoder()
    lock = LanguageGate(decode, Language("en", 1.0))
    for number in range(3):
        assert starts(await lock.admit(window(number), reading("en", 1.0))) == [number]
    assert await lock.decide() == []
    assert decode.asked == []


async def test_one_sure_window_decides() -> None:
    """A window in which the language is sure ends the wait of those before it, in order."""
    lock = LanguageGate(Decoder(), None)
    assert await lock.admit(window(0), reading("en", UNSURE)) == []
    assert lock.language is None
    assert starts(await lock.admit(window(1), reading("en", 0.8))) == [0, 1]
    assert lock.language == Language("en", 0.8)


async def test_wrongly_read_windows_are_read_again() -> None:
    """Only windows that were read in another language than the decided one are read again."""
    decode = Decoder()
    lock = LanguageGate(decode, None)
    await lock.admit(window(0), reading("de", UNSURE))
    await lock.admit(window(1), reading("en", UNSURE))
    shown = await lock.admit(window(2), reading("en", 0.8))
    assert decode.asked == [(0.0, "en")]
    assert [each.segments[0].text for _, each in shown] == [" again", " hi", " hi"]


async def test_four_unsure_windows_vote() -> None:
    """After four windows with text the most frequent language wins, at its best probability."""
    lock = LanguageGate(Decoder(), None)
    codes = ["de", "en", "en", "es"]
    shown = [await lock.admit(window(i), reading(code, UNSURE)) for i, code in enumerate(codes)]
    assert [starts(each) for each in shown] == [[], [], [], [0, 1, 2, 3]]
    assert lock.language == Language("en", UNSURE)


async def test_silence_has_no_vote() -> None:
    """Windows without text decide nothing, however sure the model is of their language."""
    decode = Decoder()
    lock = LanguageGate(decode, None)
    for number in range(6):
        assert await lock.admit(window(number), reading("de", 0.99, "")) == []
    assert starts(await lock.admit(window(6), reading("en", 0.9))) == list(range(7))
    assert lock.language == Language("en", 0.9)
    assert decode.asked == []


async def test_end_decides_with_what_was_heard() -> None:
    """At the end of the recording the votes so far decide, and all that was held comes out."""
    lock = LanguageGate(Decoder(), None)
    await lock.admit(window(0), reading("es", UNSURE))
    assert starts(await lock.decide()) == [0]
    assert lock.language == Language("es", UNSURE)


async def test_end_of_silence() -> None:
    """Where nobody spoke there is a language to report, at no probability."""
    lock = LanguageGate(Decoder(), None)
    assert await lock.decide() == []
    assert lock.language == SILENT_LANGUAGE


async def test_settled_from_elsewhere() -> None:
    """A language may be settled before any window came, but not against windows that wait."""
    lock = LanguageGate(Decoder(), None)
    lock.settle(Language("de", 0.95))
    lock.settle(Language("en", 0.99))
    assert lock.language == Language("de", 0.95)

    waiting = LanguageGate(Decoder(), None)
    await waiting.admit(window(0), reading("en", UNSURE))
    waiting.settle(Language("de", 0.95))
    assert waiting.language is None


def detected(code: str, probability: float, *, read_in: str | None = None) -> DecodeResult:
    """Return a reading whose language was detected, and which was read in it or in another one."""
    made = reading(read_in or code, probability)
    return replace(made, detected=Language(code, probability))


async def test_in_several_languages_each_sure_window_keeps_its_own() -> None:
    """The next one is expected in the same; what the recording began with is remembered."""
    decode = Decoder()
    lock = LanguageGate(decode, None, 0.7)
    await lock.admit(window(0), detected("en", 0.9))
    [(_, shown)] = await lock.admit(window(1), detected("de", 0.9))
    assert shown.language.code == "de"
    assert (lock.language, lock.expected) == (Language("en", 0.9), Language("de", 0.9))
    assert decode.asked == []


async def test_an_unsure_window_is_in_the_language_of_the_one_before() -> None:
    """It is read again if it was read in another one."""
    decode = Decoder()
    lock = LanguageGate(decode, Language("en", 1.0), 0.7)
    await lock.admit(window(0), detected("de", 0.9))
    assert starts(await lock.admit(window(1), detected("fr", 0.4, read_in="en"))) == [1]
    assert starts(await lock.admit(window(2), detected("fr", 0.4, read_in="de"))) == [2]
    assert decode.asked == [(1.0, "de")]


async def test_the_end_of_a_window_in_two_languages_tells_the_next_one() -> None:
    """And its begin is the language of the recording."""
    lock = LanguageGate(Decoder(), None, 0.7)
    first, second = (
        replace(reading("en", 0.9).segments[0], language=each) for each in ("en", "de")
    )
    mixed = DecodeResult((first, second), Language("en", 0.9), detected=Language("de", 0.95))
    await lock.admit(window(0), mixed)
    assert lock.language == Language("en", 0.9)
    assert lock.expected is not None
    assert lock.expected.code == "de"


@pytest.mark.parametrize("read_in", ["en", "de"])
async def test_another_language_in_a_recording_in_one_is_logged_once(read_in: str) -> None:
    """With both languages and the time, also where the text was thrown away."""
    lock = LanguageGate(Decoder(), Language("en", 1.0), is_watched=True)
    long = Window(np.zeros(80_000, np.float32), (WindowSpan(0, 320_000, 80_000),))
    with structlog.testing.capture_logs() as logs:
        await lock.admit(window(0), detected("de", 0.9, read_in="en"))  # two seconds tell nothing
        for _ in range(2):
            await lock.admit(long, detected("de", 0.95, read_in=read_in))
    assert logs == [
        {
            "event": "the language seems to change, but all is read in one unless multilingual "
            "is set",
            "log_level": "warning",
            "language": "en",
            "detected": "de",
            "probability": 0.95,
            "start": 20.0,
            "end": 25.0,
        }
    ]


async def test_nothing_is_checked_where_it_would_tell_nothing() -> None:
    """With several languages each window is judged anyway; a model of one language cannot."""
    long = Window(np.zeros(80_000, np.float32), (WindowSpan(0, 0, 80_000),))
    several, one = FakeBackend(), FakeBackend(languages=frozenset({"en"}))
    watched = LanguageGate.of(Decoder(), DecodeOptions(language="en"), several.capabilities)
    assert watched.wants_check(long)
    undecided = LanguageGate.of(Decoder(), DecodeOptions(), several.capabilities)
    assert not undecided.wants_check(long)
    mixed = DecodeOptions(language="en", switch_threshold=0.7)
    assert not LanguageGate.of(Decoder(), mixed, several.capabilities).wants_check(long)
    assert not LanguageGate.of(Decoder(), DecodeOptions(), one.capabilities).wants_check(long)


@pytest.mark.parametrize(
    ("code", "known", "expected"),
    [
        ("de", {"de", "en"}, Language("de", 1.0)),
        (None, {"de", "en"}, None),
        (None, {"en"}, Language("en", 1.0)),
        ("en", {"en"}, Language("en", 1.0)),
    ],
)
def test_told_language(code: str | None, known: set[str], expected: Language | None) -> None:
    """What a caller named is certain, and so is the only language that a model knows."""
    assert requested_language(code, frozenset(known)) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["en", "de", "es"]), st.floats(0, 1), st.sampled_from(["", " hi"])
        ),
        max_size=12,
    )
)
def test_no_window_is_lost(readings: list[tuple[str, float, str]]) -> None:
    """Whatever the model says, every window comes out once, in order, in one language."""

    async def run() -> None:
        lock = LanguageGate(Decoder(), None)
        shown = []
        for number, (code, probability, text) in enumerate(readings):
            shown += await lock.admit(window(number), reading(code, probability, text))
        shown += await lock.decide()
        assert starts(shown) == list(range(len(readings)))
        codes = {each.language.code for _, each in shown if each.segments}
        assert codes <= {lock.language.code if lock.language else ""}

    anyio.run(run)
