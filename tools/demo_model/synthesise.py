"""Speak sentences of the grammar into a pool file.

    python -m demo_model.synthesise {espeak,flite} OUT.npz COUNT SEED [--held-out]

With --held-out only sentences that are never trained on, without it only the others.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from demo_speech import grammar
from demo_speech.espeak import SAMPLE_RATE as ESPEAK_RATE
from demo_speech.espeak import Espeak, Speech, to_16_khz
from demo_speech.grammar import LANGUAGES, Language, Sentence
from demo_speech.word_times import spans_from_marks

from demo_model import flite, pool
from demo_model.flite import Flite
from demo_model.pool import SAMPLE_RATE, Utterance
from demo_model.word_times import guess_spans, spans_from_phones

# A voice that is listed twice is drawn twice as often.
ESPEAK_VOICES: dict[Language, tuple[str, ...]] = {
    "en": ("en-us", "en-us", "en", "en-us+f2", "en-us+m3", "en+f4", "en-us+m7"),
    "de": ("de", "de", "de+f2", "de+m3", "de+f4", "de+m7"),
    "es": ("es", "es", "es-419", "es+f2", "es+m3", "es+f4", "es+m7"),
}
SILENCE = 2e-3  # quieter sound before and after the speech is cut off; full scale is 1
FIRST_FLITE_PHONE = 84  # the numbers below belong to the phones of espeak-ng (75 have been seen)
FLITE_PHONES = {name: FIRST_FLITE_PHONE + index for index, name in enumerate(flite.PHONES)}

NumberPhone = Callable[[str], int]


def espeak_utterances(
    rng: random.Random, number_phone: NumberPhone, *, held_out: bool
) -> Iterator[Utterance]:
    """Speak endlessly, the languages in turn, in changing voices, tempos and pitches."""
    espeak = Espeak.open()
    count = 0
    while True:
        sentence = grammar.draw_from(rng, held_out=held_out)
        language = LANGUAGES[count % len(LANGUAGES)]
        voice = rng.randrange(len(ESPEAK_VOICES[language]))
        speech = espeak.speak(
            sentence.text(language),
            ESPEAK_VOICES[language][voice],
            words_per_minute=rng.randint(125, 195),
            pitch=rng.randint(30, 70),
            pitch_range=rng.randint(30, 65),
        )
        if (np.abs(speech.samples) > SILENCE).any():
            count += 1
            yield _trim_espeak(speech, sentence, language, voice, number_phone)


def _trim_espeak(
    speech: Speech, sentence: Sentence, language: Language, voice: int, number_phone: NumberPhone
) -> Utterance:
    """Trim the silence to 10 ms before and 20 ms after, with all times on the trimmed clock."""
    loud = np.nonzero(np.abs(speech.samples) > SILENCE)[0]
    first = max(0, int(loud[0]) - 220)
    after = min(len(speech.samples), int(loud[-1]) + 440)
    start, end = first / ESPEAK_RATE, (after - first) / ESPEAK_RATE
    spans = spans_from_marks(sentence.text(language), speech.words, int(loud[-1]) / ESPEAK_RATE)
    word_spans = [span.cut(start, end) for span in spans]
    phones = [(max(0, mark.start - start), number_phone(mark.name)) for mark in speech.phones]
    sound = np.clip(to_16_khz(speech.samples[first:after]), -1, 1)
    return Utterance(
        samples=(sound * 32767).astype(np.int16),
        language=language,
        voice=voice,
        sentence=sentence,
        end=end,
        words=np.array([(span.start, span.end) for span in word_spans], np.float32),
        phones=np.array(phones, np.float32).reshape(-1, 2),
    )


def flite_utterances(rng: random.Random, *, held_out: bool) -> Iterator[Utterance]:
    """Speak English endlessly, the voices of flite in turn, in changing tempos."""
    command = Flite()
    count = 0
    while True:
        sentence = grammar.draw_from(rng, held_out=held_out)
        voice = count % len(flite.VOICES)
        speech = command.speak(sentence.en, flite.VOICES[voice], stretch=rng.uniform(0.85, 1.2))
        words = sentence.en.split()
        counts = [command.phones_in(word) for word in words]
        count += 1
        yield _trim_flite(speech, sentence, voice, counts)


def _trim_flite(
    speech: flite.Speech, sentence: Sentence, voice: int, phones_in_word: list[int]
) -> Utterance:
    """Trim the pauses to 20 ms before and 30 ms after, with all times on the trimmed clock."""
    sounds = [phone for phone in speech.phones if phone.is_sound]
    start, stop = sounds[0].start - 0.02, sounds[-1].end + 0.03
    samples = speech.samples[max(0, int(start * SAMPLE_RATE)) : int(stop * SAMPLE_RATE)]
    end = len(samples) / SAMPLE_RATE
    words = sentence.en.split()
    spans = spans_from_phones(phones_in_word, sounds)
    if spans is None:
        spans = guess_spans(words, sounds[0].start, sounds[-1].end)
    word_spans = [span.cut(start, end) for span in spans]
    phones = [
        (max(0, phone.start - start), FLITE_PHONES.get(phone.name, 0))
        for phone in speech.phones
        if phone.end > start
    ]
    return Utterance(
        samples=samples,
        language="en",
        voice=pool.FIRST_FLITE_VOICE + voice,
        sentence=sentence,
        end=end,
        words=np.array([(span.start, span.end) for span in word_spans], np.float32),
        phones=np.array([*phones, (end, 0)], np.float32),
    )


def _espeak_pool(path: Path, count: int, rng: random.Random, *, held_out: bool) -> list[Utterance]:
    """Speak with espeak-ng; new phones get the next numbers, stored beside the pool files."""
    inventory: dict[str, int] = {"": 0}
    if path.exists():
        inventory = json.loads(path.read_text(encoding="utf-8"))

    def learn(name: str) -> int:
        return inventory.setdefault(name, len(inventory))

    def recall(name: str) -> int:
        return inventory.get(name, 0)

    endless = espeak_utterances(rng, recall if held_out else learn, held_out=held_out)
    utterances = list(islice(endless, count))
    if len(inventory) > FIRST_FLITE_PHONE:
        raise ValueError(
            f"{len(inventory)} phones of espeak-ng; only {FIRST_FLITE_PHONE} numbers are free."
        )
    if not held_out:
        path.write_text(json.dumps(inventory, ensure_ascii=False), encoding="utf-8")
    return utterances


def main() -> None:
    """Write the pool file and print its length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("synthesiser", choices=("espeak", "flite"))
    parser.add_argument("out", type=Path, metavar="OUT.npz")
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--held-out", action="store_true", help="only untrained sentences")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    if arguments.synthesiser == "espeak":
        phones = arguments.out.with_name("phones.json")
        utterances = _espeak_pool(phones, arguments.count, rng, held_out=arguments.held_out)
    else:
        endless = flite_utterances(rng, held_out=arguments.held_out)
        utterances = list(islice(endless, arguments.count))
    pool.write(arguments.out, utterances)
    seconds = sum(len(utterance.samples) for utterance in utterances) / SAMPLE_RATE
    print(f"{len(utterances)} sentences, {seconds:.0f} s of speech")


if __name__ == "__main__":
    main()
