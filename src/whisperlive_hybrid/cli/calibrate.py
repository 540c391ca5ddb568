"""Reads recordings again and again with one model, each time in other contexts.

A trial is what the server would do with the card that the trial stands for: the same windows, the
silent tail where the backend has one, and short contexts in the languages of the recordings only.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.table import Table

from whisperlive_hybrid.backends.base import (
    Align,
    Backend,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.backends.registry import get_first_model, load_backend
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.backends.whisper.encoder_output import SILENT_TAIL_BACKENDS
from whisperlive_hybrid.cli.batch.local import read_blocks
from whisperlive_hybrid.config import ModelSettings
from whisperlive_hybrid.engine.client import Decoder
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BadRequest, Unsupported
from whisperlive_hybrid.media.limits import MediaLimits
from whisperlive_hybrid.media.suffixes import MEDIA_SUFFIXES
from whisperlive_hybrid.models.files import (
    CARD_FILE,
    CONTEXTS_S,
    ModelCard,
    check_card_place,
    write_card,
)
from whisperlive_hybrid.models.store import OnProgress, ignore_progress
from whisperlive_hybrid.text.wer import edit_distance, words_in
from whisperlive_hybrid.transcribe import FileRequest, Transcriber, Transcript, VoiceDetector
from whisperlive_hybrid.types import (
    CONTEXT_S,
    DecodeOptions,
    DecodeResult,
    Hypothesis,
    Language,
    TokenTime,
    Urgency,
    Vocabulary,
    Window,
    join_text,
)


@dataclass(frozen=True, slots=True)
class Recast:
    """Does what `backend` does, with other capabilities. Closing it closes nothing."""

    backend: Backend
    capabilities: Capabilities

    @property
    def vocabulary(self) -> Vocabulary:
        """That of the backend."""
        return self.backend.vocabulary

    def batch_key(self, work: Work) -> Hashable:
        """As the backend says."""
        return self.backend.batch_key(work)

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Run the backend's encoder."""
        return self.backend.encode(batch)

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Ask the backend."""
        return self.backend.detect_language(batch)

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Have the backend write."""
        return self.backend.generate(batch)

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Have the backend align."""
        return self.backend.align(batch)

    def close(self) -> None:
        """Leave the weights to their owner."""


MOST_LOST: Final = 0.005
"""Share of words by which a shorter context may be worse than the full one."""

MOST_DOUBTED: Final = 0.02
"""Share of windows that it may have to read again on top; the server warns above it too."""

FEWEST_WINDOWS: Final = 10
"""With fewer windows in a context, nothing is known of it: recordings may have none so short."""

FEWEST_SPEECH_S: Final = 60.0
"""With less speech a word or two decide."""


@dataclass(frozen=True, slots=True)
class Trial:
    """All recordings, read with `shortest_s` as the shortest context; texts in their order."""

    shortest_s: float
    texts: tuple[str, ...]
    windows: int
    in_shortest: int
    """Windows that fit into the shortest context; the others need a longer one."""
    doubted: int
    """Windows whose first text was not believed."""
    compute_s: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What a context costs and loses."""

    trial: Trial
    difference: float
    """Edits against the text of the full context, as a share of its words."""
    error_rate: float | None
    """Word error rate where there are reference texts."""
    is_safe: bool

    @property
    def is_tried(self) -> bool:
        """Whether enough windows were read in this very context."""
        return self.trial.in_shortest >= FEWEST_WINDOWS


def findings(
    full: Trial, shorter: Sequence[Trial], references: Sequence[str | None]
) -> list[Finding]:
    """Compare trials of shorter contexts with the full one, which comes out as the last.

    `references` are in the order of the texts, None where it is not known what was said: there the
    text of the full context is taken for what was said. A context is safe if it has at most
    `MOST_LOST` more errors, and at most `MOST_DOUBTED` of the windows more to read again.
    """
    wanted = [
        text if said is None else said for said, text in zip(references, full.texts, strict=True)
    ]
    most_errors = _error_rate(wanted, full.texts) + MOST_LOST
    most_doubted = full.doubted + MOST_DOUBTED * full.windows
    known = [i for i, said in enumerate(references) if said is not None]
    return [
        Finding(
            trial,
            difference=_error_rate(full.texts, trial.texts),
            error_rate=_error_rate([wanted[i] for i in known], [trial.texts[i] for i in known])
            if known
            else None,
            is_safe=_error_rate(wanted, trial.texts) <= most_errors
            and trial.doubted <= most_doubted,
        )
        for trial in (*sorted(shorter, key=lambda trial: trial.shortest_s), full)
    ]


def shortest_safe(found: Sequence[Finding]) -> float:
    """The shortest context that was tried and is safe, together with all longer ones.

    The last is the full one.
    """
    shortest_s = found[-1].trial.shortest_s
    for finding in reversed(found[:-1]):
        if not finding.is_safe:
            break
        if finding.is_tried:
            shortest_s = finding.trial.shortest_s
    return shortest_s


def _error_rate(wanted: Sequence[str], read: Sequence[str]) -> float:
    pairs = [(words_in(a), words_in(b)) for a, b in zip(wanted, read, strict=True)]
    n_words = sum(len(words) for words, _ in pairs)
    return sum(edit_distance(words, others) for words, others in pairs) / max(1, n_words)


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
    settings: ModelSettings,
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
    files = get_first_model(settings.model_copy(update={"model_card": existing}), on_progress)
    file = wanted or files.directory / CARD_FILE
    if will_write:
        check_card_place(file)
    fills = silent_tail and settings.backend in SILENT_TAIL_BACKENDS
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
    limits: MediaLimits,
    files: Sequence[Path],
    options: DecodeOptions,
    note: Callable[[str], None],
    detector: VoiceDetector | None = None,
) -> Calibration:
    """Read `files` in the full context and in each shorter one; the backend is closed at the end.

    `note` is called with what comes next. Raise `Unsupported` for a model that has no shorter
    context, and what decoding a file raises.
    """
    able = backend.capabilities
    able.check(options)
    if len(able.contexts_s) == 1:
        raise Unsupported(
            f"Backend {able.backend!r} reads model {able.model!r} in {able.full_context_s:g} s "
            "only: there is nothing to calibrate."
        )
    detector = detector or SileroVad()
    trials: list[Trial] = []
    languages: tuple[str, ...] = ()
    async with Engine(backend) as engine:
        for shortest_s in reversed(able.contexts_s):
            note(f"reading in contexts of {shortest_s:g} s and more")
            limited = _limited(able, shortest_s, languages)
            async with engine.attach(Recast(backend, limited)) as decoder:
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
    return [await transcriber.transcribe(read_blocks(file, limits), request) for file in files]


def _trial(
    shortest_s: float, counted: "_Counting", read: Sequence[Transcript], compute_s: float
) -> Trial:
    return Trial(
        shortest_s,
        tuple(join_text(transcript.segments) for transcript in read),
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
    ) -> DecodeResult:
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


def as_table(done: Calibration) -> Table:
    """One line per context, the shortest first.

    "from" is the shortest context of the trial, "differs" is against the text of the full one, "s
    per s" is computing for each second of audio, and "windows" were read in this very context.
    """
    table = Table("from", "windows", "differs", "errors", "read again", "s per s", "loses nothing")
    for finding in done.found:
        trial = finding.trial
        table.add_row(
            f"{trial.shortest_s:g} s",
            str(trial.in_shortest),
            f"{finding.difference:.2%}",
            "" if finding.error_rate is None else f"{finding.error_rate:.2%}",
            f"{trial.doubted} of {trial.windows}",
            f"{trial.compute_s / done.duration_s:.3f}",
            _verdict(finding, done.found[-1]),
        )
    return table


def what_is_missing(done: Calibration) -> str | None:
    """Why nothing should be concluded, if so."""
    if done.speech_s >= FEWEST_SPEECH_S:
        return None
    return (
        f"There are {done.speech_s:.0f} s of speech, and with less than {FEWEST_SPEECH_S:.0f} s a "
        f"word or two decide: give more audio, or --force."
    )


def _verdict(finding: Finding, full: Finding) -> str:
    if not finding.is_safe:
        return "no"
    return "yes" if finding.is_tried or finding is full else "not tried"
