"""Whisper's tokenizer behind our `Vocabulary`, and the prompts that it makes."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from faster_whisper.tokenizer import Tokenizer
from tokenizers import Tokenizer as HfTokenizer

from whisperlive_hybrid.backends.whisper.search import Rules
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.languages import LANGUAGES
from whisperlive_hybrid.types import DecodeOptions, Task

_LONGEST_TEXT: Final = 8192
"""Characters of a prompt that are made into tokens, of which some 220 are used: a client may send
megabytes, and they would be cut up for every window."""

_LANGUAGE: Final = re.compile(r"<\|[a-z]{2,3}\|>")


class WhisperVocabulary:
    """The vocabulary of one model; immutable and thread-safe."""

    def __init__(self, tokenizer_file: Path, *, is_multilingual: bool, longest_text: int) -> None:
        """`longest_text` is the model's number of text positions (448)."""
        if not tokenizer_file.is_file():
            raise ModelUnavailable("The model directory has no tokenizer.json.")
        try:
            self._tokenizer = HfTokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # the library raises nothing narrower
            raise ModelUnavailable("The model's tokenizer.json cannot be read.") from error
        self._byte_of = _byte_alphabet()
        self._is_multilingual = is_multilingual
        self._longest_prompt = longest_text // 2 - 1
        whisper = self._whisper("en", Task.TRANSCRIBE)
        self.end_of_text: int = whisper.eot
        self.timestamp_begin: int = whisper.timestamp_begin
        self.no_timestamps: int = whisper.no_timestamps
        self.start_of_transcript: int = whisper.sot
        self.no_speech: int = whisper.no_speech
        self._sot_prev: int = whisper.sot_prev

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of text tokens; anything special is left out."""
        text = [token for token in tokens if token < self.end_of_text]
        return self._tokenizer.decode(text)

    def spelling(self, token: int) -> bytes:
        """The bytes of one text token, from the alphabet in which the vocabulary writes bytes."""
        return bytes(self._byte_of[letter] for letter in self._tokenizer.id_to_token(token) or "")

    def split_words(self, tokens: Sequence[int], language: str) -> list[tuple[str, int]]:
        """Words by spaces, or by code points in languages that write without them."""
        if not tokens:
            return []
        whisper = self._whisper(language, Task.TRANSCRIBE)
        texts, pieces = whisper.split_to_word_tokens(list(tokens))
        return [(text, len(piece)) for text, piece in zip(texts, pieces, strict=True)]

    def languages(self) -> frozenset[str]:
        """The codes of all languages that have a token."""
        codes = (token[2:-2] for token in self._tokenizer.get_vocab() if _LANGUAGE.fullmatch(token))
        return frozenset(codes) & LANGUAGES.keys()

    def language_tokens(self) -> dict[str, int]:
        """The token of each language."""
        known = self._tokenizer.get_vocab()
        return {code: known[f"<|{code}|>"] for code in self.languages()}

    def start_sequence(self, language: str, task: Task) -> list[int]:
        """Start of transcript, language and task; English-only models know only the first."""
        return list(self._whisper(language, task).sot_sequence)

    def previous_text(self, options: DecodeOptions) -> list[int]:
        """What stands before the start of transcript: hotwords, then the prompt; [] for neither.

        Each is cut to what the model leaves room for: hotwords keep their beginning, the prompt
        keeps its end, as in faster-whisper.
        """
        hotwords = self._encode(options.hotwords[:_LONGEST_TEXT])[: self._longest_prompt // 2]
        room = self._longest_prompt - len(hotwords)
        prompt = self._encode(options.prompt[-_LONGEST_TEXT:])[-room:]
        return [self._sot_prev, *hotwords, *prompt] if hotwords or prompt else []

    def text_tokens(self, text: str) -> list[int]:
        """The tokens of `text` as it stands; control tokens that are spelled out are left out."""
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [token for token in tokens if token < self.end_of_text]

    def suppressed(self) -> list[int]:
        """Tokens never to be written: music notes, brackets, speaker marks and control tokens."""
        whisper = self._whisper("en", Task.TRANSCRIBE)
        control = (
            whisper.transcribe,
            whisper.translate,
            whisper.sot,
            whisper.sot_prev,
            whisper.sot_lm,
            whisper.no_speech,
        )
        return sorted({*whisper.non_speech_tokens, *(t for t in control if t is not None)})

    def blank(self) -> list[int]:
        """With which no answer begins: a bare space, and the end of text."""
        space: list[int] = self._tokenizer.encode(" ", add_special_tokens=False).ids
        return [*space, self.end_of_text]

    def rules(self) -> Rules:
        """What may be written, for backends whose search is ours."""
        return Rules(
            end=self.end_of_text,
            time_begin=self.timestamp_begin,
            never=tuple({*self.suppressed(), self.no_timestamps}),
            not_first=tuple(self.blank()),
        )

    def _encode(self, text: str) -> list[int]:
        """The tokens of `text` with one leading space; [] for none."""
        stripped = text.strip()
        return self.text_tokens(" " + stripped) if stripped else []

    def _whisper(self, language: str, task: Task) -> Tokenizer:
        return Tokenizer(self._tokenizer, self._is_multilingual, task=task.value, language=language)


def _byte_alphabet() -> dict[str, int]:
    """Letter to byte in a byte-level vocabulary (GPT-2's `bytes_to_unicode`, the other way round).

    Bytes that are visible in Latin-1 are their own letters, the others follow from U+0100 on.
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = sorted(set(range(0x100)) - set(visible))
    letters = [*map(chr, visible), *(chr(0x100 + n) for n in range(len(hidden)))]
    return dict(zip(letters, [*visible, *hidden], strict=True))
