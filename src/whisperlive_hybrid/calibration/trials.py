"""Reads recordings again and again with one model, each time in other contexts.

A trial is what the server would do with the card that the trial stands for: the same windows, the
silent tail where the backend has one, and short contexts in the languages of the recordings only.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whisperlive_hybrid.backends.base import Backend, Capabilities
from whisperlive_hybrid.backends.recast import Recast
from whisperlive_hybrid.backends.registry import first_model, load_backend
from whisperlive_hybrid.backends.silent_tail import FILLED_BACKENDS
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.batch.local import read_blocks
from whisperlive_hybrid.calibration.verdict import Finding, Trial, findings, shortest_safe
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.engine.decoder import Decoder
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadRequest, Unsupported
from whisperlive_hybrid.media import MediaLimits
from whisperlive_hybrid.media.suffixes import MEDIA_SUFFIXES
from whisperlive_hybrid.models.files import (
    CARD_FILE,
    CONTEXTS_S,
    ModelCard,
    check_card_place,
    write_card,
)
from whisperlive_hybrid.models.store import OnProgress, ignore_progress
from whisperlive_hybrid.transcribe import FileRequest, Transcriber, Transcript, VoiceDetector
from whisperlive_hybrid.types import CONTEXT_S, DecodeOptions, Reading, Urgency, Window, joined_text


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the trials have shown."""

    found: tuple[Finding, ...]
    """From the shortest context to the full one."""
    duration_s: float
    speech_s: float
    languages: tuple[str, ...]
    """Those that were heard: in others, a short context was not tried."""

    @property
    def shortest_safe_s(self) -> float:
        """The shortest context that loses nothing."""
        return shortest_safe(self.found)


@dataclass(frozen=True, slots=True)
class Subject:
    """A loaded model with its card, and where that belongs."""

    backend: Backend
    """Loaded under a card that allows every context, in all languages."""
    card: ModelCard
    """As it is so far."""
    file: Path
    silent_tail: bool
    """Whether its shortened contexts are filled up."""

    def write(self, done: Calibration) -> None:
        """Write into the card what was found; the rest of it stays as it is."""
        write_card(self.file, self.card.model_copy(update=self._found(done)))

    def _found(self, done: Calibration) -> dict[str, object]:
        """The keys of the card that change.

        Languages that were not tried keep what the card allows them, where one card can say both.
        """
        card, shortest_s = self.card, done.shortest_safe_s
        others = set(card.short_context_languages or ()).difference(done.languages)
        if shortest_s == CONTEXT_S:  # in these languages nothing may be shortened
            if others:
                return {"short_context_languages": tuple(sorted(others))}
            return {"shortest_context_s": shortest_s}
        if shortest_s < card.shortest_context_s or self.silent_tail != card.silent_tail:
            others = set()
        return {
            "shortest_context_s": shortest_s,
            "silent_tail": self.silent_tail,
            "short_context_languages": tuple(sorted(others.union(done.languages))),
        }


def subject(
    settings: Settings,
    card: Path | None,
    *,
    silent_tail: bool = True,
    will_write: bool = True,
    on_progress: OnProgress = ignore_progress,
) -> Subject:
    """Load a model to be calibrated; `card` wins over the settings, and need not exist yet.

    Shortened contexts get a silent tail if `silent_tail` and the backend can do it.
    `on_progress` is called while the model is downloaded.
    Raises `ModelUnavailable`, and `BadRequest` if the card is to be written and cannot be.
    """
    wanted = card or settings.model_card
    existing = wanted if wanted and wanted.is_file() else None
    files = first_model(settings.model_copy(update={"model_card": existing}), on_progress)
    file = wanted or files.directory / CARD_FILE
    if will_write:
        check_card_place(file)
    fills = silent_tail and settings.backend in FILLED_BACKENDS
    tried = {
        "shortest_context_s": CONTEXTS_S[0],
        "silent_tail": fills,
        "short_context_languages": None,
    }
    allowing_all = replace(files, card=files.card.model_copy(update=tried))
    return Subject(load_backend(settings, allowing_all), files.card, file, fills)


def recordings_in(paths: Sequence[Path]) -> list[Path]:
    """The files in `paths`, and those of its directories and theirs that look like audio."""
    files = [file for path in paths for file in (_audio_below(path) if path.is_dir() else [path])]
    if not files:
        raise BadRequest("There is no audio in these directories.")
    return list(dict.fromkeys(files))


def reference_of(recording: Path) -> str | None:
    """What is said in a recording: the text of a .txt file of the same name beside it."""
    text = recording.with_suffix(".txt")
    return text.read_text(encoding="utf-8") if text.is_file() else None


async def calibrate(
    backend: Backend,
    settings: Settings,
    files: Sequence[Path],
    options: DecodeOptions,
    tell: Callable[[str], None],
    detector: VoiceDetector | None = None,
) -> Calibration:
    """Read `files` in the full context and in each shorter one; the backend is closed at the end.

    `tell` hears what comes next. Raises `Unsupported` for a model that has no shorter context, and
    what a file's reading raises.
    """
    able = backend.capabilities
    able.check(options)
    if len(able.contexts_s) == 1:
        raise Unsupported(
            f"Backend {able.backend!r} reads model {able.model!r} in {able.full_context_s:g} s "
            "only: there is nothing to calibrate."
        )
    limits = MediaLimits(max_duration_s=settings.max_audio_hours * 3600)
    detector = detector or SileroVad()
    trials: list[Trial] = []
    languages: tuple[str, ...] = ()
    async with Engine(backend) as engine:
        for shortest_s in reversed(able.contexts_s):
            tell(f"reading in contexts of {shortest_s:g} s and more")
            limited = _limited(able, shortest_s, languages)
            async with engine.host(Recast(backend, limited)) as decoder:
                started = _clock(able)
                counting = _Counting(decoder, shortest_s)
                read = await _transcripts(Transcriber(counting, detector), files, options, limits)
                trials.append(_trial(shortest_s, counting, read, _clock(able) - started))
            # Before the language of a recording is known, its windows get the full context where
            # a card names languages: so it is with the card that comes of this, and in the trials.
            languages = languages or _languages_in(read)
    full, *shorter = trials
    references = [reference_of(file) for file in files]
    return Calibration(
        tuple(findings(full, shorter, references)),
        sum(transcript.duration for transcript in read),
        sum(transcript.speech for transcript in read),
        languages,
    )


async def _transcripts(
    transcriber: Transcriber, files: Sequence[Path], options: DecodeOptions, limits: MediaLimits
) -> list[Transcript]:
    """Read files one after another."""
    request = FileRequest(options, urgency=Urgency.BULK)
    return [await transcriber.transcript(read_blocks(file, limits), request) for file in files]


def _trial(
    shortest_s: float, counted: "_Counting", read: Sequence[Transcript], compute_s: float
) -> Trial:
    return Trial(
        shortest_s,
        tuple(joined_text(transcript.segments) for transcript in read),
        counted.windows,
        counted.in_shortest,
        counted.doubted,
        compute_s,
    )


class _Counting:
    """A decoder that counts what it reads, in the shortest context or not, and what was doubted."""

    def __init__(self, decoder: Decoder, shortest_s: float) -> None:
        self._decoder = decoder
        self._shortest_s = shortest_s
        self.windows = 0
        self.in_shortest = 0
        self.doubted = 0

    @property
    def capabilities(self) -> Capabilities:
        """Those of the decoder."""
        return self._decoder.capabilities

    async def decode(
        self,
        window: Window,
        options: DecodeOptions,
        urgency: Urgency = Urgency.SHORT_FILE,
        *,
        continues: bool = False,
    ) -> Reading:
        """Have the decoder read it."""
        reading = await self._decoder.decode(window, options, urgency, continues=continues)
        self.windows += 1
        context_s = self.capabilities.context_for(window.duration, options.language)
        self.in_shortest += context_s == self._shortest_s
        self.doubted += reading.was_doubted
        return reading


def _limited(able: Capabilities, shortest_s: float, languages: Sequence[str]) -> Capabilities:
    """The model as a card with this shortest context, in these languages, would describe it."""
    return replace(
        able,
        model=f"{able.model} from {shortest_s:g} s",
        contexts_s=tuple(length for length in able.contexts_s if length >= shortest_s),
        short_context_languages=frozenset(languages),
    )


def _languages_in(read: Sequence[Transcript]) -> tuple[str, ...]:
    """The languages in which something was said, as a card lists them."""
    return tuple(sorted({each.language.code for each in read if each.segments}))


def _clock(able: Capabilities) -> float:
    """Seconds that the processor has worked for us; where another device works, of the clock."""
    return time.process_time() if able.device == "cpu" else time.monotonic()


def _audio_below(directory: Path) -> list[Path]:
    return sorted(file for file in directory.rglob("*") if file.suffix.lower() in MEDIA_SUFFIXES)
