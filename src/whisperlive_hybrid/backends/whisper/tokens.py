"""Whisper's tokenizer as a `Vocabulary`, and the prompts that are built with it."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from faster_whisper.tokenizer import Tokenizer
from tokenizers import Tokenizer as HfTokenizer

from whisperlive_hybrid.backends.whisper.search import Rules
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.languages import LANGUAGES
from whisperlive_hybrid.types import DecodeOptions, Language, Task

_LONGEST_TEXT: Final = 8192
"""Characters of a prompt that are tokenized, of which some 220 tokens are used: a client may send
megabytes, which would be tokenized for every window."""

ENGLISH_ONLY_VOCABULARY: Final = 51864
"""Tokens of an English-only Whisper: one fewer than the multilingual models (openai/whisper)."""

_LANGUAGE: Final = re.compile(r"<\|[a-z]{2,3}\|>")


class WhisperVocabulary:
    """The tokenizer of one model; immutable and thread-safe."""

    def __init__(self, tokenizer_file: Path, *, is_multilingual: bool, longest_text: int) -> None:
        """Load the tokenizer; `longest_text` is the model's number of text positions (448).

        Raises `ModelUnavailable`.
        """
        if not tokenizer_file.is_file():
            raise ModelUnavailable("The model directory has no tokenizer.json.")
        try:
            self._tokenizer = HfTokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # the library raises nothing narrower
            raise ModelUnavailable("The model's tokenizer.json cannot be read.") from error
        self._byte_of = _unicode_to_bytes()
        self._is_multilingual = is_multilingual
        # Half of the positions, without the mark of previous text, as in openai/whisper.
        self._longest_prompt = longest_text // 2 - 1
        whisper = self._whisper("en", Task.TRANSCRIBE)
        self.end_of_text: int = whisper.eot
        self.timestamp_begin: int = whisper.timestamp_begin
        self.no_timestamps: int = whisper.no_timestamps
        self.start_of_transcript: int = whisper.sot
        self.no_speech: int = whisper.no_speech
        self._sot_prev: int = whisper.sot_prev

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of text tokens; special tokens are left out."""
        text = [token for token in tokens if token < self.end_of_text]
        return self._tokenizer.decode(text)

    def spelling(self, token: int) -> bytes:
        """Return the bytes of one text token, which may be a part of a character."""
        return bytes(self._byte_of[letter] for letter in self._tokenizer.id_to_token(token) or "")

    def split_words(self, tokens: Sequence[int], language: str) -> list[tuple[str, int]]:
        """Split at spaces, or at code points in languages that are written without spaces."""
        if not tokens:
            return []
        whisper = self._whisper(language, Task.TRANSCRIBE)
        texts, pieces = whisper.split_to_word_tokens(list(tokens))
        return [(text, len(piece)) for text, piece in zip(texts, pieces, strict=True)]

    def languages(self) -> frozenset[str]:
        """Return the codes of all languages that have a token."""
        codes = (token[2:-2] for token in self._tokenizer.get_vocab() if _LANGUAGE.fullmatch(token))
        return frozenset(codes) & LANGUAGES.keys()

    def language_tokens(self) -> dict[str, int]:
        """Return the token of each language code."""
        tokens = self._tokenizer.get_vocab()
        return {code: tokens[f"<|{code}|>"] for code in self.languages()}

    def start_sequence(self, language: str, task: Task) -> list[int]:
        """Return start of transcript, language and task; the first alone if English-only."""
        return list(self._whisper(language, task).sot_sequence)

    def previous_text(self, options: DecodeOptions) -> list[int]:
        """Return the tokens before the start of transcript: hotwords, then the prompt, or [].

        Both are cut to the model's room for them: hotwords keep their beginning, the prompt keeps
        its end, as in faster-whisper.
        """
        hotwords = self._encode(options.hotwords[:_LONGEST_TEXT])[: self._longest_prompt // 2]
        room = self._longest_prompt - len(hotwords)
        prompt = self._encode(options.prompt[-_LONGEST_TEXT:])[-room:]
        return [self._sot_prev, *hotwords, *prompt] if hotwords or prompt else []

    def full_prompt(self, language: str, options: DecodeOptions) -> list[int]:
        """Return all tokens before the first that the model writes."""
        return self.previous_text(options) + self.start_sequence(language, options.task)

    def text_tokens(self, text: str) -> list[int]:
        """Return the tokens of `text` unchanged; spelled-out control tokens are left out."""
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [token for token in tokens if token < self.end_of_text]

    def list_suppressed(self) -> list[int]:
        """Return the tokens to suppress: music notes, brackets, speaker marks, control tokens."""
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

    def rules(self) -> Rules:
        """Return Whisper's rules of decoding, for backends that search with search.py."""
        # openai/whisper's suppress_blank: no hypothesis begins with a space or the end of text.
        blank = self._tokenizer.encode(" ", add_special_tokens=False).ids
        return Rules(
            end=self.end_of_text,
            time_begin=self.timestamp_begin,
            never=tuple({*self.list_suppressed(), self.no_timestamps}),
            not_first=(*blank, self.end_of_text),
        )

    def _encode(self, text: str) -> list[int]:
        """Return the tokens of `text` with one leading space, or []."""
        stripped = text.strip()
        return self.text_tokens(" " + stripped) if stripped else []

    def _whisper(self, language: str, task: Task) -> Tokenizer:
        return Tokenizer(self._tokenizer, self._is_multilingual, task=task.value, language=language)


def pick_language(probabilities: Mapping[str, float], candidates: Collection[str]) -> Language:
    """Return the most probable language of `candidates`, or of all if there are none.

    `Capabilities.check` has refused candidates that the model does not have.
    """
    allowed = [code for code in probabilities if not candidates or code in candidates]
    code = max(allowed, key=lambda language: probabilities[language])
    return Language(code, probabilities[code])


def _unicode_to_bytes() -> dict[str, int]:
    """Return letter to byte of a byte-level vocabulary: the inverse of GPT-2's `bytes_to_unicode`.

    Bytes that are visible in Latin-1 are their own letters, the others follow from U+0100 on.
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = sorted(set(range(0x100)) - set(visible))
    letters = [*map(chr, visible), *(chr(0x100 + n) for n in range(len(hidden)))]
    return dict(zip(letters, [*visible, *hidden], strict=True))
