from collections.abc import Sequence

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.language_lock import SILENT_LANGUAGE, LanguageLock
from whisperlive_hybrid.text.language import told_language
from whisperlive_hybrid.types import Language, Reading, Segment, Span, Window

pytestmark = pytest.mark.anyio

UNSURE = 0.4


def window(number: int) -> Window:
    """Return the window that begins at this second."""
    return Window(np.zeros(16_000, np.float32), (Span(0, number * 16_000, 16_000),))


def reading(code: str, probability: float, text: str = " hi") -> Reading:
    """Return what a model answers: one segment, or none for an empty text."""
    segment = Segment(0, 1, text, (), 0.0, -0.1, 1.0, 0.0)
    return Reading((segment,) if text else (), Language(code, probability))


class Decoder:
    """Reads a window in the language asked for, and remembers which."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str | None]] = []

    async def __call__(self, window: Window, language: Language | None) -> Reading:
        """Read again."""
        self.asked.append((window.start, language.code if language else None))
        return reading(language.code if language else "en", 1.0, " again")


def starts(reads: Sequence[tuple[Window, Reading]]) -> list[float]:
    """Return when each window begins."""
    return [window.start for window, _ in reads]


async def test_told_language_holds_nothing_back() -> None:
    """With a language told, each window is shown as it comes and read no second time."""
    decode = Decoder()
    lock = LanguageLock(decode, Language("en", 1.0))
    for number in range(3):
        assert starts(await lock.admit(window(number), reading("en", 1.0))) == [number]
    assert await lock.decide() == []
    assert decode.asked == []


async def test_one_sure_window_decides() -> None:
    """A window in which the language is sure ends the wait of those before it, in order."""
    lock = LanguageLock(Decoder(), None)
    assert await lock.admit(window(0), reading("en", UNSURE)) == []
    assert lock.language is None
    assert starts(await lock.admit(window(1), reading("en", 0.8))) == [0, 1]
    assert lock.language == Language("en", 0.8)


async def test_wrongly_read_windows_are_read_again() -> None:
    """Only windows that were read in another language than the decided one are read again."""
    decode = Decoder()
    lock = LanguageLock(decode, None)
    await lock.admit(window(0), reading("de", UNSURE))
    await lock.admit(window(1), reading("en", UNSURE))
    shown = await lock.admit(window(2), reading("en", 0.8))
    assert decode.asked == [(0.0, "en")]
    assert [each.segments[0].text for _, each in shown] == [" again", " hi", " hi"]


async def test_four_unsure_windows_vote() -> None:
    """After four windows with text the most frequent language wins, at its best probability."""
    lock = LanguageLock(Decoder(), None)
    codes = ["de", "en", "en", "es"]
    shown = [await lock.admit(window(i), reading(code, UNSURE)) for i, code in enumerate(codes)]
    assert [starts(each) for each in shown] == [[], [], [], [0, 1, 2, 3]]
    assert lock.language == Language("en", UNSURE)


async def test_silence_has_no_vote() -> None:
    """Windows without text decide nothing, however sure the model is of their language."""
    decode = Decoder()
    lock = LanguageLock(decode, None)
    for number in range(6):
        assert await lock.admit(window(number), reading("de", 0.99, "")) == []
    assert starts(await lock.admit(window(6), reading("en", 0.9))) == list(range(7))
    assert lock.language == Language("en", 0.9)
    assert decode.asked == []


async def test_end_decides_with_what_was_heard() -> None:
    """At the end of the recording the votes so far decide, and all that was held comes out."""
    lock = LanguageLock(Decoder(), None)
    await lock.admit(window(0), reading("es", UNSURE))
    assert starts(await lock.decide()) == [0]
    assert lock.language == Language("es", UNSURE)


async def test_end_of_silence() -> None:
    """Where nobody spoke there is a language to report, at no probability."""
    lock = LanguageLock(Decoder(), None)
    assert await lock.decide() == []
    assert lock.language == SILENT_LANGUAGE


async def test_settled_from_elsewhere() -> None:
    """A language may be settled before any window came, but not against windows that wait."""
    lock = LanguageLock(Decoder(), None)
    lock.settle(Language("de", 0.95))
    lock.settle(Language("en", 0.99))
    assert lock.language == Language("de", 0.95)

    waiting = LanguageLock(Decoder(), None)
    await waiting.admit(window(0), reading("en", UNSURE))
    waiting.settle(Language("de", 0.95))
    assert waiting.language is None


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
    assert told_language(code, frozenset(known)) == expected


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
        lock = LanguageLock(Decoder(), None)
        shown = []
        for number, (code, probability, text) in enumerate(readings):
            shown += await lock.admit(window(number), reading(code, probability, text))
        shown += await lock.decide()
        assert starts(shown) == list(range(len(readings)))
        codes = {each.language.code for _, each in shown if each.segments}
        assert codes <= {lock.language.code if lock.language else ""}

    anyio.run(run)
