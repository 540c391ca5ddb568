"""A window in several languages: where it is parted, and which part is in which language.

Whisper names one language for a window, surely, whatever is in it: base says Portuguese at 0.96 of
22 s of English with 4 s of Portuguese behind. So the language is detected stretch by stretch, and
in shorter ones where it changes (docs/decisions/0022).
"""

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from whisperlive_hybrid.text.language import is_switch
from whisperlive_hybrid.types import Language, Window

SHORTEST_STRETCH_S: Final = 3.0
"""Speech of the stretches that are judged first; most recordings are in one language there."""

FINER_STRETCH_S: Final = 1.0
"""Speech of the stretches beside a change, where it is known which languages there are."""

SHORTEST_PAUSE_S: Final = 0.09
"""A shorter one may lie inside of a word: three frames of the voice detector."""

Stretch = tuple[float, float]
"""Start and end, in seconds on the window clock."""


@dataclass(frozen=True, slots=True)
class LanguagePart:
    """What is read in one language; seconds on the window clock."""

    start: float
    end: float
    language: Language


class LanguageSurvey:
    """Chooses the stretches of one window to detect the language in, and draws the conclusion.

    Those of one survey follow each other without a gap, from the begin of the window to its end.
    """

    def __init__(self, window: Window, threshold: float) -> None:
        self._window = window
        self._threshold = threshold
        whole = (0.0, window.duration)
        self._found: dict[Stretch, Language | None] = dict.fromkeys(
            _parted(window, whole, SHORTEST_STRETCH_S)
        )
        self._known: frozenset[str] = frozenset()  # the languages of the window, when refined
        self._is_refined = False

    @property
    def stretches(self) -> list[Stretch]:
        """All of them, in order."""
        return list(self._found)

    @property
    def likeliest(self) -> Language:
        """The language that is surest of all that were detected; there must be one."""
        return max(filter(None, self._found.values()), key=lambda each: each.probability)

    def next(self) -> Stretch | None:
        """Return the next stretch to detect the language in; None when all is known."""
        if None not in self._found.values() and not self._is_refined:
            self._is_refined = True
            self._refine()
        return next((each for each, language in self._found.items() if language is None), None)

    def record(self, stretch: Stretch, language: Language) -> None:
        """Note which language was detected in a stretch."""
        self._found[stretch] = language

    def parts(self, expected: Language | None) -> list[LanguagePart]:
        """Join the stretches that are in one language.

        A stretch whose language is not sure is in that of the sure one before it, or behind it; in
        a window without a sure one all are in `expected`, or in the likeliest.
        """
        found = []
        for _, run in groupby(self._labelled(expected), key=lambda each: each[1].code):
            stretches, languages = zip(*run, strict=True)
            surest = max(languages, key=lambda language: language.probability)
            found.append(LanguagePart(stretches[0][0], stretches[-1][1], surest))
        return found

    def _labelled(self, expected: Language | None) -> list[tuple[Stretch, Language]]:
        """Every stretch with the language that it is in."""
        sure = {
            stretch: language
            for stretch, language in self._found.items()
            if language and self._is_sure(stretch, language)
        }
        last = next(iter(sure.values()), expected or self.likeliest)
        labelled = []
        for stretch in self._found:
            last = sure.get(stretch, last)
            labelled.append((stretch, last))
        return labelled

    def _is_sure(self, stretch: Stretch, language: Language) -> bool:
        if self._known:
            return language.code in self._known and language.probability >= self._threshold
        return is_switch(language, self._window.part(*stretch), self._threshold)

    def _refine(self) -> None:
        """Part the stretches on both sides of a change: it need not be where they meet."""
        changing: set[Stretch] = set()
        labelled = self._labelled(None)
        for (before, one), (behind, other) in pairwise(labelled):
            if one.code != other.code:
                changing |= {before, behind}
        self._known = frozenset(language.code for _, language in labelled)
        found, self._found = self._found, {}
        for stretch, language in found.items():
            finer = [stretch]
            if stretch in changing:
                finer = _parted(self._window, stretch, FINER_STRETCH_S)
            self._found |= {each: language if len(finer) == 1 else None for each in finer}


def _parted(window: Window, stretch: Stretch, shortest_s: float) -> list[Stretch]:
    """Part a stretch at its longest pause, and so on, while all have `shortest_s` of speech."""
    start, end = stretch
    speech = window.part(start, end).speech
    total = sum(stop - begin for begin, stop in speech)
    heard, pauses = 0.0, []
    for (begin, stop), (resumed, _) in pairwise(speech):
        heard += stop - begin
        if min(heard, total - heard) >= shortest_s and resumed - stop >= SHORTEST_PAUSE_S:
            pauses.append((resumed - stop, start + (stop + resumed) / 2))
    if not pauses:
        return [stretch]
    _, cut = max(pauses)
    return [*_parted(window, (start, cut), shortest_s), *_parted(window, (cut, end), shortest_s)]
