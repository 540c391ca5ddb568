"""A small grammar of parallel sentences in English, German and Spanish.

Every sentence is parallel by construction, so transcription and translation targets are both
known. `draw` uses its random generator in a fixed order: equal seeds give equal sentences.
"""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from demo_speech import lexicon
from demo_speech.lexicon import Phrase

Language = Literal["en", "de", "es"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@dataclass(frozen=True, slots=True, order=True)
class Sentence:
    """One sentence in the three languages, capitalised and punctuated."""

    en: str
    de: str
    es: str

    def text(self, language: Language) -> str:
        """Return the sentence in `language`."""
        return {"en": self.en, "de": self.de, "es": self.es}[language]

    @property
    def texts(self) -> tuple[str, str, str]:
        """The sentence in the order of `LANGUAGES`."""
        return (self.en, self.de, self.es)


def draw(rng: random.Random) -> Sentence:
    """Draw one sentence."""
    share = rng.random()
    rule = next(rule for upto, rule in RULES if share < upto)
    phrase = rule(rng)
    return Sentence(_capitalise(phrase.en), _capitalise(phrase.de), _capitalise(phrase.es))


def draw_many(count: int, seed: int) -> list[Sentence]:
    """Draw `count` sentences and return the different ones among them, sorted."""
    rng = random.Random(seed)
    return sorted({draw(rng) for _ in range(count)})


def is_held_out(sentence: Sentence) -> bool:
    """Return True for a sentence that is not trained on: one in twelve, by the CRC of its English.

    Set phrases such as "Good morning." are always trained on.
    """
    return sentence.en not in _SET_PHRASES and zlib.crc32(sentence.en.encode()) % 12 == 0


def draw_from(rng: random.Random, *, held_out: bool) -> Sentence:
    """Draw until a sentence has this value of `is_held_out`."""
    while is_held_out(sentence := draw(rng)) != held_out:
        pass
    return sentence


def _capitalise(text: str) -> str:
    """Capitalise the first letter, which in Spanish may follow a "¿"."""
    first = next(i for i, character in enumerate(text) if character.isalpha())
    return text[:first] + text[first].upper() + text[first + 1 :]


# The rules. Each draws its words in the order in which it names them: that order is part of a seed.


def _quality(rng: random.Random) -> Phrase:
    thing, quality = rng.choice(lexicon.THINGS), rng.choice(lexicon.QUALITIES)
    return Phrase(
        f"{thing.en} is {quality.en}.",
        f"{thing.de} ist {quality.de}.",
        f"{thing.es} es {quality.spanish_for(thing)}.",
    )


def _whereabouts(rng: random.Random) -> Phrase:
    thing, place = rng.choice(lexicon.THINGS), rng.choice(lexicon.PLACES)
    return Phrase(
        f"{thing.en} is {place.en}.",
        f"{thing.de} ist {place.de}.",
        f"{thing.es} está {place.es}.",
    )


def _where(rng: random.Random) -> Phrase:
    thing = rng.choice(lexicon.THINGS)
    return Phrase(f"where is {thing.en}?", f"wo ist {thing.de}?", f"¿dónde está {thing.es}?")


def _action(rng: random.Random, circumstances: tuple[Phrase, ...]) -> Phrase:
    name, action = rng.choice(lexicon.NAMES), rng.choice(lexicon.ACTIONS)
    circumstance = rng.choice(circumstances)
    return Phrase(
        f"{name} {action.en} {circumstance.en}.",
        f"{name} {action.de} {circumstance.de}.",
        f"{name} {action.es} {circumstance.es}.",
    )


def _action_somewhere(rng: random.Random) -> Phrase:
    return _action(rng, lexicon.PLACES)


def _action_sometime(rng: random.Random) -> Phrase:
    return _action(rng, lexicon.TIMES)


def _acquire_food(rng: random.Random) -> Phrase:
    name, verb = rng.choice(lexicon.NAMES), rng.choice(lexicon.ACQUISITIONS)
    food = rng.choice(lexicon.FOODS)
    return Phrase(
        f"{name} {verb.en} {food.en}.",
        f"{name} {verb.de} {food.de}.",
        f"{name} {verb.es} {food.es}.",
    )


def _acquire_thing(rng: random.Random) -> Phrase:
    name, verb = rng.choice(lexicon.NAMES), rng.choice(lexicon.ACQUISITIONS)
    thing = rng.choice(lexicon.THINGS)
    return Phrase(
        f"{name} {verb.en} {thing.en}.",
        f"{name} {verb.de} {thing.de_accusative}.",
        f"{name} {verb.es} {thing.es}.",
    )


def _command(rng: random.Random) -> Phrase:
    thing, command = rng.choice(lexicon.THINGS), rng.choice(lexicon.COMMANDS)
    return Phrase(
        f"{command.en.format(thing.en)}.",
        f"{command.de.format(thing.de_accusative)}.",
        f"{command.es.format(thing.es)}.",
    )


def _wait(rng: random.Random) -> Phrase:
    number, unit = rng.choice(lexicon.NUMBERS), rng.choice(lexicon.DURATIONS)
    english = "one hundred" if number.en == "hundred" else number.en
    return Phrase(
        f"please wait {english} {unit.en}.",
        f"bitte warte {number.de} {unit.de}.",
        f"por favor espera {number.es} {unit.es}.",
    )


def _clock(rng: random.Random) -> Phrase:
    hour = rng.choice(lexicon.HOURS_OF_THE_CLOCK)
    return Phrase(f"it is {hour.en} o'clock.", f"es ist {hour.de} Uhr.", f"son las {hour.es}.")


def _introduction(rng: random.Random) -> Phrase:
    one, other = rng.choice(lexicon.NAMES), rng.choice(lexicon.NAMES)
    if rng.random() < 0.5:
        return Phrase(f"my name is {one}.", f"ich heiße {one}.", f"me llamo {one}.")
    place = rng.choice(lexicon.PLACES)
    return Phrase(
        f"{one} and {other} are {place.en}.",
        f"{one} und {other} sind {place.de}.",
        f"{one} y {other} están {place.es}.",
    )


def _weather(rng: random.Random) -> Phrase:
    weather, now = rng.choice(lexicon.WEATHERS), rng.choice(lexicon.HERE_AND_NOW)
    return Phrase(
        f"the weather is {weather.en} {now.en}.",
        f"das Wetter ist {now.de} {weather.de}.",
        f"el tiempo es {weather.es} {now.es}.",
    )


def _request(rng: random.Random) -> Phrase:
    name, food = rng.choice(lexicon.NAMES), rng.choice(lexicon.FOODS)
    if rng.random() < 0.6:
        return Phrase(
            f"I would like {food.en}, please.",
            f"ich möchte {food.de}, bitte.",
            f"quiero {food.es}, por favor.",
        )
    time = rng.choice(lexicon.TIMES)
    return Phrase(
        f"call {name} {time.en}.", f"ruf {name} {time.de} an.", f"llama a {name} {time.es}."
    )


def _set_phrase(rng: random.Random) -> Phrase:
    return rng.choice(lexicon.SET_PHRASES)


Rule = Callable[[random.Random], Phrase]

# (upper end of the rule's share of [0, 1), rule)
RULES: tuple[tuple[float, Rule], ...] = (
    (0.14, _quality),
    (0.22, _whereabouts),
    (0.30, _where),
    (0.42, _action_somewhere),
    (0.53, _action_sometime),
    (0.62, _acquire_food),
    (0.68, _acquire_thing),
    (0.73, _command),
    (0.78, _wait),
    (0.82, _clock),
    (0.86, _introduction),
    (0.90, _weather),
    (0.94, _request),
    (1.00, _set_phrase),
)
_SET_PHRASES = frozenset(phrase.en for phrase in lexicon.SET_PHRASES)
