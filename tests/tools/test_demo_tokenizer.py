"""The tokenizer of the demo model."""

import json
from typing import Any

import pytest
from demo_model import tokenizer
from demo_model.tokenizer import DEFAULT_PATH, Vocabulary
from tokenizers import Tokenizer


@pytest.fixture(scope="module")
def shipped() -> Tokenizer:
    """Return the tokenizer in the repository."""
    return Tokenizer.from_file(str(DEFAULT_PATH))


def test_building_gives_the_shipped_tokenizer() -> None:
    """The grammar alone determines the tokenizer: a rebuilt one is the one in hf/."""
    rebuilt: dict[str, Any] = json.loads(tokenizer.build().to_str())
    assert rebuilt == json.loads(DEFAULT_PATH.read_text(encoding="utf-8"))


def test_tokens_stand_in_the_order_of_whisper(shipped: Tokenizer) -> None:
    """Text, special tokens and time marks follow one another; <|30.00|> is the last token."""
    vocabulary = Vocabulary.of(shipped)
    assert vocabulary.end == 1374
    assert vocabulary.start == vocabulary.end + 1
    assert len(tokenizer.LANGUAGE_CODES) == 99
    assert vocabulary.transcribe == vocabulary.translate + 1
    assert vocabulary.time_mark(0.0) == vocabulary.first_time_mark
    assert vocabulary.time_mark(30.0) == vocabulary.size - 1


@pytest.mark.parametrize("symbol", ["-", "'", "♪"])
def test_suppressing_symbols_leaves_the_space(shipped: Tokenizer, symbol: str) -> None:
    """The first token of a symbol, which decoders suppress, is never the bare space."""
    space = shipped.encode(" ").ids
    assert len(space) == 1
    assert shipped.encode(f" {symbol}").ids[0] != space[0]


def test_text_survives(shipped: Tokenizer) -> None:
    """Any text can be written, also outside the grammar."""
    for text in (" ¿Dónde está la lámpara?", " It is ten o'clock.", " Žluťoučký kůň 日本語"):
        assert shipped.decode(shipped.encode(text).ids) == text
