"""Speech for streams and files: sentences with pauses, composed of clips with known word times."""

import itertools
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from whisperlive_hybrid.bench.scoring import Reference, SpokenWord, words_in
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.media.reader import open_audio
from whisperlive_hybrid.types import SAMPLE_RATE, Samples

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip in the manifest; times in s. A clip without speech has no language."""

    file: str
    language: str | None = None
    text: str = ""
    english: str = ""
    words: tuple[tuple[str, float], ...] = ()
    """Each word as written, with its end."""
    sentences: tuple[tuple[float, float], ...] = ()
    """Start and end of each sentence."""

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> "Clip":
        """Parse an entry of the manifest; raises `KeyError`, `TypeError` or `ValueError`."""
        return cls(
            file=entry["file"],
            language=entry["language"],
            text=entry["text"],
            english=entry["english"],
            words=tuple((str(word), float(end)) for word, end in entry["words"]),
            sentences=tuple((float(start), float(end)) for start, end in entry["sentences"]),
        )


def read_manifest(folder: Path) -> list[Clip]:
    """Read the manifest of a folder. Raises `BadRequest` if it is missing or invalid."""
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return [Clip.parse(entry) for entry in entries]
    except OSError as error:
        raise BadRequest(f"No {MANIFEST} in --clips {folder.name!r}.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise BadRequest(
            f"{MANIFEST} in --clips {folder.name!r} is not a list of clips."
        ) from error


def write_manifest(folder: Path, clips: Sequence[Clip]) -> None:
    """Write the manifest of a folder."""
    text = json.dumps([asdict(clip) for clip in clips], ensure_ascii=False, indent=1)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_samples(path: Path) -> Samples:
    """Read a whole clip as (n,) float32."""
    with path.open("rb") as file, open_audio(file) as reader:
        return np.concatenate(list(reader.blocks()))


def write_samples(path: Path, samples: Samples) -> None:
    """Write (n,) float32 as 16-bit FLAC."""
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        container.mux(stream.encode(_audio_frame(samples)))
        container.mux(stream.encode(None))


SHORTEST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 1.2
"""Between sentences, as in read speech. Endpoint detectors ignore the shorter pauses."""

LONG_PAUSE_S: Final = (2.5, 4.0)
LONG_PAUSE_EVERY: Final = 8
"""One pause in so many is long, since servers invent words in long pauses."""

ENDS_SPEECH_S: Final = 1.0
"""Shortest pause that ends speech. Endpoint detectors wait up to so long, since a shorter pause
does not show that the speaker has finished."""

SILENCE_S: Final = 2.0
"""Shortest pause in which a word counts as invented (the measure of the field)."""

TAIL_S: Final = 1.5
"""Least silence after the last sentence, so that its final is sent live and not at the end of
audio."""

NOISE: Final = 5e-4
"""Root mean square of the noise floor, -66 dB: microphones are never digitally silent."""


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """One spoken sentence, trimmed: (n,) float32, and each word with its end in s."""

    samples: Samples
    words: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class ComposedSpeech:
    """The audio of one stream, (n,) float32 at 16 kHz, with its reference."""

    samples: Samples
    language: str
    reference: Reference

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return len(self.samples) / SAMPLE_RATE


class Corpus:
    """The sentences of a folder of clips, by language."""

    def __init__(self, sentences: dict[str, list[Sentence]]) -> None:
        self._sentences = sentences

    @classmethod
    def read(cls, folder: Path, languages: Sequence[str] = ()) -> "Corpus":
        """Read the clips of one sentence, of all languages or of `languages`.

        Raises `BadRequest` if there are none.
        """
        sentences: dict[str, list[Sentence]] = {}
        for clip in read_manifest(folder):
            is_wanted = not languages or clip.language in languages
            if clip.language and is_wanted and len(clip.sentences) == 1:
                start, end = clip.sentences[0]
                samples = read_samples(folder / clip.file)
                sound = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
                words = tuple((word, word_end - start) for word, word_end in clip.words)
                sentences.setdefault(clip.language, []).append(Sentence(sound, words))
        if not sentences:
            wanted = ", ".join(languages) or "any language"
            raise BadRequest(f"--clips {folder.name!r} has no clip of one sentence in {wanted}.")
        return cls(sentences)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the sentences."""
        return tuple(self._sentences)

    def compose_speech(
        self, stream: int, seconds: float, seed: int, shortest_pause: float = SHORTEST_PAUSE_S
    ) -> ComposedSpeech:
        """Compose the speech of stream number `stream`; equal arguments give equal audio.

        The streams take the languages in turn. `seconds` is the length of the audio.
        """
        language = self.languages[stream % len(self.languages)]
        rng = random.Random(f"{seed}/{stream}")
        known = self._sentences[language]
        # All sentences in random order, then again in another one.
        sentences = itertools.chain.from_iterable(
            rng.sample(known, len(known)) for _ in itertools.count()
        )
        return compose(sentences, rng, language, seconds, shortest_pause)


def compose(
    sentences: Iterable[Sentence],
    rng: random.Random,
    language: str,
    seconds: float,
    shortest_pause: float = SHORTEST_PAUSE_S,
) -> ComposedSpeech:
    """Put sentences one after another, with pauses, as long as they fit."""
    noise = np.random.default_rng(rng.getrandbits(32)).normal(
        0, NOISE, round(seconds * SAMPLE_RATE)
    )
    samples = noise.astype(np.float32)
    placed: list[tuple[int, Sentence]] = []
    position = 0
    for sentence in sentences:
        is_long = rng.randrange(LONG_PAUSE_EVERY) == 0
        usual = (shortest_pause, max(shortest_pause, LONGEST_PAUSE_S))
        pause = rng.uniform(*(LONG_PAUSE_S if is_long else usual))
        start = position + round(pause * SAMPLE_RATE)
        position = start + len(sentence.samples)
        if position > len(samples) - TAIL_S * SAMPLE_RATE:
            break
        samples[start:position] += sentence.samples
        placed.append((start, sentence))
    return ComposedSpeech(samples, language, _build_reference(placed, len(samples)))


def _build_reference(placed: Sequence[tuple[int, Sentence]], length: int) -> Reference:
    """Return words and silences on the stream's clock; starts and `length` in samples."""
    words: list[SpokenWord] = []
    silences: list[tuple[float, float]] = []
    before = 0
    following = [*(start for start, _ in placed), length]
    for (start, sentence), after in zip(placed, following[1:], strict=True):
        silences.append((before / SAMPLE_RATE, start / SAMPLE_RATE))
        before = start + len(sentence.samples)
        has_finished = after - before >= ENDS_SPEECH_S * SAMPLE_RATE
        for number, (text, end) in enumerate(sentence.words, 1):
            is_last = has_finished and number == len(sentence.words)
            words.append(SpokenWord(text, start / SAMPLE_RATE + end, is_last))
    silences.append((before / SAMPLE_RATE, length / SAMPLE_RATE))
    long = tuple(silence for silence in silences if silence[1] - silence[0] >= SILENCE_S)
    return Reference(tuple(words), long)


PIECE_S: Final = 60.0
"""Length that is composed at once; no sentence crosses the border of two pieces."""

SHORTEST_S: Final = 10.0
"""Shortest recording, with room for a sentence or two."""

CLIP_S: Final = 3.0
"""Length of the short clip that waits while a long file is transcribed."""

LONGEST_FLAC_S: Final = 60 * 60.0
"""Longest recording in lossless FLAC, 1 MB a minute; Opus keeps longer ones below the upload
limit."""

_OPUS_BITS_PER_S: Final = 32_000
_OPUS_OPTIONS: Final[dict[str, object]] = {"compression_level": "0"}
"""Fastest encoding: four hours are written in a fifth of the time."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A local file with its reference words."""

    file: Path
    language: str
    words: tuple[str, ...]
    """Normalised, in order."""
    duration: float
    """Seconds."""


def compose_recording(corpus: Corpus, seconds: float, seed: int, file: Path) -> Recording:
    """Compose a recording in the first language of the corpus; equal arguments, equal audio.

    `file` gets the suffix of its format. Raises `BadRequest` for less than `SHORTEST_S`.
    """
    if seconds < SHORTEST_S:
        raise BadRequest(f"--minutes must be at least {SHORTEST_S / 60:.2f}.")
    n_pieces = max(1, int(seconds // PIECE_S))
    lengths = [PIECE_S] * (n_pieces - 1) + [seconds - (n_pieces - 1) * PIECE_S]
    # Streams take the languages in turn: multiples of their number have the first one.
    pieces = (
        corpus.compose_speech(number * len(corpus.languages), length, seed)
        for number, length in enumerate(lengths)
    )
    return _write_recording(pieces, file, seconds)


def compose_clip(corpus: Corpus, seed: int, file: Path) -> Recording:
    """Compose a clip of `CLIP_S` that contains speech, in the first language."""
    n_languages = len(corpus.languages)
    clips = (corpus.compose_speech(draw * n_languages, CLIP_S, seed) for draw in itertools.count())
    clip = next(clip for clip in clips if clip.reference.words)
    return _write_recording([clip], file, CLIP_S)


def _write_recording(pieces: Iterable[ComposedSpeech], file: Path, seconds: float) -> Recording:
    is_long = seconds > LONGEST_FLAC_S
    target = file.with_suffix(".opus" if is_long else ".flac")
    words: list[str] = []
    language = ""
    with av.open(str(target), "w", format="ogg" if is_long else "flac") as container:
        if is_long:
            stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
            stream.bit_rate = _OPUS_BITS_PER_S
            stream.options = _OPUS_OPTIONS
        else:
            stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        for piece in pieces:
            language = piece.language
            container.mux(stream.encode(_audio_frame(piece.samples)))
            words += (text for word in piece.reference.words for text in words_in(word.text))
        container.mux(stream.encode(None))
    return Recording(target, language, tuple(words), seconds)


def _audio_frame(samples: Samples) -> av.AudioFrame:
    pcm = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
    frame.rate = SAMPLE_RATE
    return frame
