from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.backends.fake import pause
from whisperlive_hybrid.text.language import SWITCH_THRESHOLD
from whisperlive_hybrid.text.stretches import (
    FINER_STRETCH_S,
    SHORTEST_STRETCH_S,
    LanguagePart,
    LanguageSurvey,
    Stretch,
)
from whisperlive_hybrid.types import Language, Window, WindowSpan

EN, DE = Language("en", 0.9), Language("de", 0.8)
UNSURE = Language("fr", 0.4)


def window(*speech: tuple[float, float], seconds: float = 20.0) -> Window:
    """Return a window with these stretches of speech."""
    samples = pause(seconds)
    return Window(samples, (WindowSpan(0, 0, len(samples)),), speech)


def survey(*speech: tuple[float, float], seconds: float = 20.0) -> LanguageSurvey:
    """Return the survey of such a window."""
    return LanguageSurvey(window(*speech, seconds=seconds), SWITCH_THRESHOLD)


def judged(begun: LanguageSurvey, by: Mapping[Stretch, Language]) -> list[Stretch]:
    """Record the language in the middle of each stretch; return the detected stretches."""
    asked = []
    while stretch := begun.next():
        asked.append(stretch)
        middle = sum(stretch) / 2
        begun.record(stretch, next(each for (s, e), each in by.items() if s <= middle < e))
    return asked


def test_a_window_is_parted_in_its_longest_pauses() -> None:
    """A window is split at its longest pauses; a shorter one is used only if it is needed."""
    begun = survey((0.5, 4.0), (4.2, 5.0), (5.6, 9.0), (9.1, 19.0))
    assert begun.stretches == [(0.0, 5.3), (5.3, 9.05), (9.05, 20.0)]


def test_what_is_too_short_to_be_judged_stays_with_its_neighbour() -> None:
    """The length of the pause does not matter."""
    assert survey((0.5, 2.0), (5.0, 10.0)).stretches == [(0.0, 20.0)]
    assert survey((0.5, 5.0), (5.05, 10.0)).stretches == [(0.0, 20.0)]
    assert survey().stretches == [(0.0, 20.0)]


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.1, 6.0)), min_size=1, max_size=20))
def test_no_audio_is_lost_between_stretches(story: list[tuple[float, float]]) -> None:
    """Stretches, finer ones and parts cover the window, each with enough speech."""
    speech, now = [], 0.0
    for silence, spoken in story:
        speech.append((now + silence, now + silence + spoken))
        now += silence + spoken
    begun = survey(*speech, seconds=now)
    coarse = begun.stretches
    judged(begun, {(0.0, now / 3): EN, (now / 3, now / 2): DE, (now / 2, now + 1): EN})
    parts = [(part.start, part.end) for part in begun.parts(None)]
    for found, shortest_s in [
        (coarse, SHORTEST_STRETCH_S),
        (begun.stretches, FINER_STRETCH_S),
        (parts, FINER_STRETCH_S),
    ]:
        assert (found[0][0], found[-1][1]) == (0.0, len(pause(now)) / 16_000)
        assert all(end == start for (_, end), (start, _) in pairwise(found))
        if len(found) > 1:
            heard = window(*speech, seconds=now)
            assert min(heard.part(*each).speech_s for each in found) >= shortest_s - 1e-6


THREE = [(0.0, 4.8), (5.2, 9.8), (10.2, 15.0)]


@pytest.mark.parametrize(
    ("languages", "expected", "told"),
    [
        ([EN, EN, EN], None, [LanguagePart(0, 15, EN)]),
        (
            [EN, DE, EN],
            None,
            [LanguagePart(0, 5, EN), LanguagePart(5, 10, DE), LanguagePart(10, 15, EN)],
        ),
        ([EN, UNSURE, DE], None, [LanguagePart(0, 10, EN), LanguagePart(10, 15, DE)]),
        ([UNSURE, UNSURE, DE], EN, [LanguagePart(0, 15, DE)]),
        ([UNSURE, UNSURE, UNSURE], EN, [LanguagePart(0, 15, EN)]),
        ([UNSURE, Language("nl", 0.5), UNSURE], None, [LanguagePart(0, 15, Language("nl", 0.5))]),
    ],
)
def test_an_unsure_stretch_is_in_the_language_of_its_neighbours(
    languages: list[Language], expected: Language | None, told: list[LanguagePart]
) -> None:
    """The one before it, else after it, else of the window before, else the likeliest."""
    begun = survey(*THREE, seconds=15.0)
    asked = judged(begun, dict(zip([(0, 5), (5, 10), (10, 15)], languages, strict=True)))
    assert len(asked) == 3
    assert begun.parts(expected) == told


def test_a_change_is_found_where_stretches_do_not_meet() -> None:
    """Only the stretches next to a change are split again; without a change there are none."""
    speech = ((0.0, 5.0), (5.6, 7.0), (7.3, 10.0), (10.6, 15.0), (15.6, 20.0))
    begun = survey(*speech)
    assert begun.stretches == [(0.0, 5.3), (5.3, 10.3), (10.3, 15.3), (15.3, 20.0)]
    asked = judged(begun, {(0.0, 7.15): EN, (7.15, 20.0): DE})
    assert asked == [(0.0, 5.3), (5.3, 10.3), (10.3, 15.3), (15.3, 20.0), (5.3, 7.15), (7.15, 10.3)]
    assert begun.parts(None) == [LanguagePart(0.0, 7.15, EN), LanguagePart(7.15, 20.0, DE)]
    assert begun.likeliest == EN
    assert judged(survey(*speech), {(0.0, 20.0): EN}) == asked[:4]


def test_beside_a_change_there_are_only_the_languages_of_the_window() -> None:
    """A second of speech is often detected as a third language."""
    begun = survey((0.0, 5.0), (5.6, 7.0), (7.3, 10.0), (10.6, 15.0))
    third = Language("nl", 0.9)
    asked = judged(begun, {(0.0, 5.3): EN, (5.3, 7.15): third, (7.15, 20.0): DE})
    assert (5.3, 7.15) in asked
    assert begun.parts(None) == [LanguagePart(0.0, 7.15, EN), LanguagePart(7.15, 20.0, DE)]
