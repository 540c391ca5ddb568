"""Language detection within a window that may hold several languages.

Whisper detects one language per window with high probability, even if there are several: base
detects Portuguese with 0.96 in 22 s of English followed by 4 s of Portuguese. So the language is
detected in each stretch of a window, and in shorter stretches next to a change
(docs/decisions/0022).
"""

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from whisperlive_hybrid.text.language import is_switch
from whisperlive_hybrid.types import Language, Window

SHORTEST_STRETCH_S: Final = 3.0
"""Seconds of speech in the stretches that are detected first; shorter ones cost more calls."""

FINER_STRETCH_S: Final = 1.0
"""Seconds of speech in the stretches next to a change; so few suffice to choose between the
languages that were detected before."""

SHORTEST_PAUSE_S: Final = 0.09
"""Shortest pause between two stretches: three frames of the voice detector. A shorter one may lie
inside of a word."""

Stretch = tuple[float, float]
"""Start and end, in seconds on the window clock."""


@dataclass(frozen=True, slots=True)
class LanguagePart:
    """A part of a window in one language; start and end in seconds on the window clock."""

    start: float
    end: float
    language: Language


class LanguageSurvey:
    """Chooses stretches of a window for language detection, and joins them to parts.

    Its stretches cover the window without a gap.
    """

    def __init__(self, window: Window, threshold: float) -> None:
        self._window = window
        self._threshold = threshold
        whole = (0.0, window.duration)
        self._languages: dict[Stretch, Language | None] = dict.fromkeys(
            _split(window, whole, SHORTEST_STRETCH_S)
        )
        self._known: frozenset[str] = frozenset()  # codes of the window's languages, once refined
        self._is_refined = False

    @property
    def stretches(self) -> list[Stretch]:
        """All stretches, in order."""
        return list(self._languages)

    @property
    def likeliest(self) -> Language:
        """The detected language with the highest probability; there must be one."""
        return max(filter(None, self._languages.values()), key=lambda found: found.probability)

    def next(self) -> Stretch | None:
        """Return the next stretch for detection; None if there is none left."""
        if None not in self._languages.values() and not self._is_refined:
            self._is_refined = True
            self._refine()
        return next((s for s, language in self._languages.items() if language is None), None)

    def record(self, stretch: Stretch, language: Language) -> None:
        """Record the language that was detected in a stretch."""
        self._languages[stretch] = language

    def parts(self, expected: Language | None) -> list[LanguagePart]:
        """Join consecutive stretches of one language.

        A stretch without a certain language has that of the certain one before it, else after it.
        If there is no certain one at all, all have the language `expected`, or the likeliest.
        """
        parts = []
        for _, run in groupby(self._assign(expected), key=lambda assigned: assigned[1].code):
            stretches, languages = zip(*run, strict=True)
            surest = max(languages, key=lambda language: language.probability)
            parts.append(LanguagePart(stretches[0][0], stretches[-1][1], surest))
        return parts

    def _assign(self, expected: Language | None) -> list[tuple[Stretch, Language]]:
        """Return every stretch with its language."""
        certain = {
            stretch: language
            for stretch, language in self._languages.items()
            if language and self._is_certain(stretch, language)
        }
        # The first stretches have no certain one before them, so that the one after them counts.
        last = next(iter(certain.values()), expected or self.likeliest)
        assigned = []
        for stretch in self._languages:
            last = certain.get(stretch, last)
            assigned.append((stretch, last))
        return assigned

    def _is_certain(self, stretch: Stretch, language: Language) -> bool:
        # A language of the window that is known already needs less speech than a new one.
        if self._known:
            return language.code in self._known and language.probability >= self._threshold
        return is_switch(language, self._window.part(*stretch), self._threshold)

    def _refine(self) -> None:
        """Split the stretches on both sides of each change of language.

        A stretch may hold both languages, so that the change need not be at its border.
        """
        changing: set[Stretch] = set()
        assigned = self._assign(None)
        for (before, one), (behind, other) in pairwise(assigned):
            if one.code != other.code:
                changing |= {before, behind}
        self._known = frozenset(language.code for _, language in assigned)
        coarse, self._languages = self._languages, {}
        for stretch, language in coarse.items():
            finer = [stretch]
            if stretch in changing:
                finer = _split(self._window, stretch, FINER_STRETCH_S)
            self._languages |= dict.fromkeys(finer, language if len(finer) == 1 else None)


def _split(window: Window, stretch: Stretch, shortest_s: float) -> list[Stretch]:
    """Split a stretch at its longest pauses while all parts have `shortest_s` of speech."""
    start, end = stretch
    speech = window.part(start, end).speech
    total = sum(stop - begin for begin, stop in speech)
    before, pauses = 0.0, []
    for (begin, stop), (resumed, _) in pairwise(speech):
        before += stop - begin
        if min(before, total - before) >= shortest_s and resumed - stop >= SHORTEST_PAUSE_S:
            pauses.append((resumed - stop, start + (stop + resumed) / 2))
    if not pauses:
        return [stretch]
    _, cut = max(pauses)
    return [*_split(window, (start, cut), shortest_s), *_split(window, (cut, end), shortest_s)]
