"""Make clips of recorded speech, with word ends by forced alignment of the reference text.

The model only decides when each word of the reference ends. The end of the last word is that of
the voice detector, since alignment ends it too early (median 0.22 s).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np

from whisperlive_hybrid.backends.base import Align, Encode
from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.bench.corpus import Clip, read_samples, write_manifest, write_samples
from whisperlive_hybrid.bench.recordings import LabelledRecording
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.speech.regions import RegionFinder, VadOptions
from whisperlive_hybrid.text.words import add_words
from whisperlive_hybrid.types import (
    CONTEXT_S,
    SAMPLE_RATE,
    Language,
    Region,
    Samples,
    Segment,
    Task,
    Window,
    WindowSpan,
    Word,
)

LEVEL_DB: Final = -23.0
"""Root mean square of the speech of each clip. In a stream recordings follow one another, and no
speaker falls by 60 dB from one sentence to the next."""

LEAD_S: Final = 0.1
"""Audio that is kept before the first word."""

LATEST_END_S: Final = 0.5
"""Speech that ends later than this after the aligned end does not belong to the last word."""


def clips_of_recordings(
    recordings: Sequence[LabelledRecording],
    backend: Ct2Backend,
    folder: Path,
    note: Callable[[str], None],
) -> list[Clip]:
    """Write clips and their manifest to a folder; `note` receives a line for each one left out.

    A clip is one recording of at most 30 s. Raises `BadRequest` if there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    detector = SileroVad()
    clips = []
    for recording in recordings:
        samples = read_samples(recording.file)
        clip = None
        if len(samples) <= CONTEXT_S * SAMPLE_RATE and recording.reference:
            clip = _align_clip(recording, samples, backend, detector)
        if clip is None:
            note(f"{recording.id} is left out: over {CONTEXT_S:g} s, or without known words")
            continue
        clips.append(clip)
        write_samples(folder / clip.file, _normalise_level(samples, clip.sentences[0]))
    if not clips:
        raise BadRequest("No recording is short enough and has a text and a language.")
    write_manifest(folder, clips)
    return clips


def _align_clip(
    recording: LabelledRecording, samples: Samples, backend: Ct2Backend, detector: SileroVad
) -> Clip | None:
    """Return a recording as a clip of one sentence; None without speech, text or language."""
    speech = _find_speech(samples, detector)
    if not speech or recording.language is None:
        return None
    words = _align_words(recording.reference, recording.language, samples, backend)
    if not words:
        return None
    last = words[-1].end
    end = min((end for _, end in speech if last <= end <= last + LATEST_END_S), default=last)
    ends = [*(word.end for word in words[:-1]), end]
    return Clip(
        file=f"{quote(recording.id, safe='')}.flac",
        language=recording.language,
        text=recording.reference,
        words=tuple((w.text.strip(), round(t, 3)) for w, t in zip(words, ends, strict=True)),
        sentences=((round(max(0.0, words[0].start - LEAD_S), 3), round(end, 3)),),
    )


def _align_words(text: str, language: str, samples: Samples, backend: Ct2Backend) -> Sequence[Word]:
    """Return the words of a text that is spoken in `samples`, on their clock."""
    vocabulary = backend.vocabulary
    tokens = tuple(vocabulary.text_tokens(" " + " ".join(text.split())))
    duration = len(samples) / SAMPLE_RATE
    window = Window(samples, (WindowSpan(0, 0, len(samples)),))
    [encoded] = backend.encode([Encode(window, CONTEXT_S)])
    if isinstance(encoded, Exception):
        raise encoded
    spoken = Language(language, 1.0)
    [times] = backend.align([Align(encoded, spoken, Task.TRANSCRIBE, tokens, duration)])
    if isinstance(times, Exception):
        raise times
    whole = Segment(0.0, duration, text, tokens, 0.0, 0.0, 0.0, 0.0)
    [timed] = add_words([whole], times, vocabulary, language)
    return timed.words or ()


def _find_speech(samples: Samples, detector: SileroVad) -> list[tuple[float, float]]:
    """Return start and end of each stretch of speech, in s."""
    voice = detector.open()
    finder = RegionFinder(VadOptions(), len(samples) + 1)
    regions: list[Region] = finder.push([*voice.push(samples), *voice.flush()])
    regions += finder.flush(len(samples))
    return [
        (start / SAMPLE_RATE, min(end, len(samples)) / SAMPLE_RATE)
        for region in regions
        for start, end in region.speech
    ]


def _normalise_level(samples: Samples, sentence: tuple[float, float]) -> Samples:
    """Scale samples so that their sentence has `LEVEL_DB`, or as close as their peak allows."""
    start, end = (round(time * SAMPLE_RATE) for time in sentence)
    loudness = float(np.sqrt(np.mean(np.square(samples[start:end]))))
    wanted: float = 10 ** (LEVEL_DB / 20) / max(loudness, 1e-9)
    return samples * np.float32(min(wanted, 0.99 / max(float(np.abs(samples).max()), 1e-9)))
