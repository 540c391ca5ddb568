"""Signs of a text that nobody said: it repeats itself, or is more than the time can hold.

Whisper knows one such sign, the compression ratio of the whole text. A loop at the end of a long
sentence is diluted in it, and a short window can be filled with words that do not repeat.
"""

import zlib
from collections.abc import Sequence
from typing import Final

from whisperlive_hybrid.text.comparison import words_in

FEWEST_REPEATS: Final = 4
"""Fewer are a manner of speaking, whatever is repeated: an announcement is made three times."""

FEWEST_WORDS: Final = 8
"""A single word needs as many repeats as this to be a loop; "no, no, no, no" is an answer."""

TOKENS_PER_S: Final = 30.0
"""No speech has more. Measured with the tokenizer of Whisper's multilingual models on article 1 of
the Universal Declaration of Human Rights, spoken by espeak-ng at 175 and at 300 words a minute, far
beyond people: English 4 and 7, Finnish 6 and 10, Chinese 4 and 8, Japanese 8 and 13, Hindi 17 and
28, Georgian 15 and 29, Malayalam 16 and 26, Amharic 10 and 15. Where a character is spelled by
several tokens (Georgian: 2.4) it counts once; without that Georgian has 70."""

SPARE_TOKENS: Final = 20
"""On top, so that a word at the border of a very short window is no fault."""


SPARSE_FROM_S: Final = 4.0
"""Seconds of speech from which a few words are a sign of many that were passed over."""

SPARSE_TOKENS_PER_S: Final = 2.0
"""Text tokens per second of speech below which words were passed over."""


def compression_ratio(text: str) -> float:
    """Bytes of `text` per byte of its zlib form: 2.4 and more means repetition."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))


def loop_ratio(text: str) -> float:
    """The compression ratio of the most repetitive loop in `text` alone; 0 if nothing loops.

    A loop is the same run of words over and over without anything between; case and punctuation do
    not count, and in scripts without spaces a character stands for a word. The ratio of Whisper's
    rule, taken of the loop alone, asks for the more repeats the shorter the run is: with 2.4 "no"
    may be said ten times in a row, "yes" eight, "thank you" five, a whole sentence three times.
    """
    words = words_in(text)
    longest_run = len(words) // FEWEST_REPEATS
    loops = (_longest_loop(words, size) for size in range(1, longest_run + 1))
    return max((compression_ratio(" ".join(loop)) for loop in loops if loop), default=0.0)


def is_overfull(text: str, n_tokens: int, duration: float) -> bool:
    """Whether `text` of so many text tokens is more than `duration` seconds of audio can hold."""
    return min(n_tokens, len(text)) > SPARE_TOKENS + TOKENS_PER_S * duration


def is_sparse(n_tokens: int, speech_s: float) -> bool:
    """Whether so many text tokens tell too little for so many seconds of speech."""
    return speech_s >= SPARSE_FROM_S and n_tokens < SPARSE_TOKENS_PER_S * speech_s


def _longest_loop(words: Sequence[str], size: int) -> Sequence[str]:
    """The longest stretch that repeats a run of `size` words often enough; empty if none does."""
    end, longest, repeated = 0, 0, 0
    for i in range(size, len(words)):
        repeated = repeated + 1 if words[i] == words[i - size] else 0
        if repeated > longest:
            longest, end = repeated, i + 1
    length = longest + size
    if length < max(FEWEST_WORDS, FEWEST_REPEATS * size):
        return ()
    return words[end - length : end]
