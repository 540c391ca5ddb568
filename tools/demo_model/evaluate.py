"""Measure a converted model through faster-whisper on sentences that it was not trained on.

    python -m demo_model.evaluate CT2_DIR TEST.npz [--compute-type int8] [--beam 5] [--quick]
        [--flite TEST_FLITE.npz]

Word error rates are in percent, times in s.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from demo_speech.grammar import LANGUAGES
from tokenizers import Tokenizer

from demo_model import evaluate_clips, flite
from demo_model.clips import ClipMaker
from demo_model.listener import MARGIN, Listener, join_text, pad, percent_wrong, show
from demo_model.pool import FIRST_FLITE_VOICE, SAMPLE_RATE, Pool

# Sentences straight from the espeak-ng command: voice and text.
ESPEAK_COMMANDS = (
    ("en-us", "Good morning. The car is red. Where is the key?"),
    ("de", "Guten Morgen. Das Auto ist rot. Wo ist der Schlüssel?"),
    ("es", "Buenos días. El coche es rojo. ¿Dónde está la llave?"),
    ("en-us+f3", "Turn on the light. Please wait five minutes."),
    ("en-gb-scotland", "Turn on the light. Please wait five minutes."),
    ("de+f5", "Guten Abend. Peter arbeitet am Montag."),
)
FLITE_VOICES = ("kal", "slt", "rms", "awb")
FLITE_TEXT = "Where is the key? Anna sings in the garden. The car is red."


@dataclass(frozen=True, slots=True)
class Extent:
    """The numbers of measured recordings."""

    sentences: int  # of each language
    flite: int  # sentences of each voice
    cut_off: int
    clips: int


FULL, QUICK = Extent(60, 20, 60, 20), Extent(25, 6, 12, 8)


def single_sentences(listener: Listener, pool: Pool, count: int) -> None:
    """Measure language detection, and texts in the correct language."""
    for language in LANGUAGES:
        references, hypotheses, no_speech = [], [], []
        detected = 0
        for utterance in pool.in_language(language)[:count]:
            sound = pad(utterance.sound)
            segments, info = listener.transcribe(sound)
            no_speech += [segment.no_speech_prob for segment in segments]
            if info.language == language:
                detected += 1
            else:
                segments, _ = listener.transcribe(sound, language)
            references.append(utterance.text)
            hypotheses.append(join_text(segments))
        show(
            f"single {language}",
            wer=percent_wrong(references, hypotheses),
            exact=_exact(references, hypotheses),
            language_detected=f"{detected}/{len(references)}",
            max_no_speech=max(no_speech, default=None),
            errors=_errors(references, hypotheses)[:4],
        )


def flite_voices(listener: Listener, pool: Pool, count: int) -> None:
    """Measure untrained sentences in the voices of flite."""
    for index, name in enumerate(flite.VOICES):
        utterances = pool.by_voice("en", FIRST_FLITE_VOICE + index)[:count]
        hypotheses = [listener.text(pad(utterance.sound), "en") for utterance in utterances]
        references = [utterance.text for utterance in utterances]
        show(f"flite {name}", wer=percent_wrong(references, hypotheses), n=len(references))


def truncated_audio(listener: Listener, pool: Pool, count: int) -> None:
    """Measure audio that ends before the last word, as windows of a live stream do."""
    references, hypotheses = [], []
    for utterance in pool.utterances[:count]:
        n_words, ends = len(utterance.words) - 1, utterance.words[:, 1]
        # Only where the synthesiser separated the last word from its neighbours.
        if n_words < 2 or ends[n_words - 1] >= utterance.end - 0.1:
            continue
        if ends[n_words - 1] == ends[n_words - 2]:
            continue
        end = int((ends[n_words - 1] + 0.03) * SAMPLE_RATE)
        sound = np.pad(utterance.sound[:end], (MARGIN, 0))
        hypotheses.append(listener.text(sound, utterance.language))
        references.append(" ".join(utterance.text.split()[:n_words]))
    examples = list(zip(references, hypotheses, strict=True))[:3]
    show("cut off", wer=percent_wrong(references, hypotheses), n=len(references), examples=examples)


def translation(listener: Listener, pool: Pool, count: int) -> None:
    """Measure the translation of German and Spanish speech into English."""
    for language in LANGUAGES[1:]:
        utterances = pool.in_language(language)[:count]
        hypotheses = [
            listener.text(pad(utterance.sound), language, task="translate")
            for utterance in utterances
        ]
        references = [utterance.sentence.en for utterance in utterances]
        show(
            f"translate {language}->en",
            wer=percent_wrong(references, hypotheses),
            exact=_exact(references, hypotheses),
            errors=_errors(references, hypotheses)[:3],
        )


def commands(listener: Listener) -> None:
    """Show the texts of files written by espeak-ng and flite, with several sentences each."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "speech.wav")
        for voice, text in ESPEAK_COMMANDS:
            subprocess.run(["espeak-ng", "-v", voice, "-w", path, text], check=True)
            _show_file(listener, f"espeak-ng -v {voice}", path, text)
        for voice in FLITE_VOICES:
            subprocess.run(["flite", "-voice", voice, "-t", FLITE_TEXT, "-o", path], check=True)
            _show_file(listener, f"flite -voice {voice}", path, FLITE_TEXT)


def _show_file(listener: Listener, name: str, path: str, text: str) -> None:
    segments, info = listener.transcribe(path)
    show(
        name,
        text=text,
        got=[(round(each.start, 2), round(each.end, 2), each.text) for each in segments],
        language=info.language,
        probability=info.language_probability,
    )


def _exact(references: Sequence[str], hypotheses: Sequence[str]) -> str:
    right = len(references) - len(_errors(references, hypotheses))
    return f"{right}/{len(references)}"


def _errors(references: Sequence[str], hypotheses: Sequence[str]) -> list[tuple[str, str]]:
    pairs = zip(references, hypotheses, strict=True)
    return [(reference, hypothesis) for reference, hypothesis in pairs if reference != hypothesis]


def main() -> None:
    """Measure with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, metavar="CT2_DIR")
    parser.add_argument("test", type=Path, metavar="TEST.npz")
    parser.add_argument("--flite", type=Path, metavar="TEST_FLITE.npz")
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    extent = QUICK if arguments.quick else FULL
    listener = Listener.load(arguments.model, arguments.compute_type, arguments.beam)
    pool = Pool.load([arguments.test])
    single_sentences(listener, pool, extent.sentences)
    if arguments.flite:
        flite_voices(listener, Pool.load([arguments.flite]), extent.flite)
    truncated_audio(listener, pool, extent.cut_off)
    translation(listener, pool, extent.sentences)
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    clips = ClipMaker(pool, tokenizer, seed=5)
    evaluate_clips.several_sentences(listener, clips, extent.clips)
    evaluate_clips.no_speech(listener, clips)
    commands(listener)


if __name__ == "__main__":
    main()
