"""Build the tokenizer: byte-level BPE over the grammar, with every special token of Whisper.

    python -m demo_model.tokenizer OUT_DIR

Text tokens come first, then the special tokens in Whisper's order, then the 1,501 time marks.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from demo_speech import grammar
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

DEFAULT_PATH = Path(__file__).parent / "hf" / "tokenizer.json"

# The language codes of the multilingual Whisper vocabulary, in its order.
_CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no "
    "th ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw "
    "gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl "
    "mg as tt haw ln ha ba jw su"
)
LANGUAGE_CODES = tuple(_CODES.split())
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in LANGUAGE_CODES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
TIME_MARKS_PER_S = 50
TIME_MARKS = tuple(f"<|{mark / TIME_MARKS_PER_S:.2f}|>" for mark in range(1501))

# Decoders suppress the first token of " -", " '" and " ♪" (a symbol, not speech). Without a merge
# of its own each of them begins with the bare space token, which must not be suppressed.
SYMBOL_MERGES = (("Ġ", "-"), ("Ġ", "'"), ("Ġ", "â"), ("-", "-"))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The ids that training and decoding ask for by name."""

    end: int
    start: int
    previous: int
    no_speech: int
    no_timestamps: int
    transcribe: int
    translate: int
    languages: tuple[int, ...]  # in the order of grammar.LANGUAGES
    size: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Vocabulary":
        """Look the names up."""
        return cls(
            end=token_id(tokenizer, "<|endoftext|>"),
            start=token_id(tokenizer, "<|startoftranscript|>"),
            previous=token_id(tokenizer, "<|startofprev|>"),
            no_speech=token_id(tokenizer, "<|nospeech|>"),
            no_timestamps=token_id(tokenizer, "<|notimestamps|>"),
            transcribe=token_id(tokenizer, "<|transcribe|>"),
            translate=token_id(tokenizer, "<|translate|>"),
            languages=tuple(token_id(tokenizer, f"<|{code}|>") for code in grammar.LANGUAGES),
            size=tokenizer.get_vocab_size(),
        )

    @property
    def first_time_mark(self) -> int:
        """The id of <|0.00|>; the marks run from here to the end of the vocabulary."""
        return self.no_timestamps + 1

    def time_mark(self, seconds: float) -> int:
        """Return the id of the mark nearest to `seconds`."""
        return self.first_time_mark + round(seconds * TIME_MARKS_PER_S)


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Return the id of a token that must exist."""
    found: int | None = tokenizer.token_to_id(token)
    if found is None:
        raise LookupError(f"the tokenizer has no token {token!r}")
    return found


def build() -> Tokenizer:
    """Train the merges on the whole language and add Whisper's special tokens and time marks."""
    vocabulary, merges = _learn_merges(training_texts())
    for left, right in SYMBOL_MERGES:
        if left + right not in vocabulary:
            vocabulary[left + right] = len(vocabulary)
            merges.append((left, right))
    vocabulary[""] = len(vocabulary)  # CTranslate2 takes the presence of "" for "multilingual"
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False) for name in SPECIAL_TOKENS]
    )
    tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in TIME_MARKS])
    return tokenizer


def training_texts() -> list[str]:
    """Return every sentence of 200,000 draws in every language, with Whisper's leading space."""
    sentences = grammar.draw_many(200_000, seed=0)
    return [" " + text for sentence in sentences for text in sentence.texts]


def _learn_merges(texts: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=4000,
            min_frequency=1,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            special_tokens=[],
            show_progress=False,
        ),
    )
    learnt = json.loads(learner.to_str())["model"]
    return dict(learnt["vocab"]), [(left, right) for left, right in learnt["merges"]]


def main() -> None:
    """Write OUT_DIR/tokenizer.json and print how well it fits the language."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer = build()
    # Compact, as conversion writes it too: the file in hf/ comes out byte for byte.
    compact = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))
    (arguments.out / "tokenizer.json").write_text(compact, encoding="utf-8")
    texts = training_texts()
    tokens = [tokenizer.encode(text).ids for text in texts]
    print("text tokens", token_id(tokenizer, "<|endoftext|>"), "of", tokenizer.get_vocab_size())
    print("used by the grammar", len({token for ids in tokens for token in ids}))
    print(f"tokens in a sentence {sum(map(len, tokens)) / len(texts):.2f}")


if __name__ == "__main__":
    main()
