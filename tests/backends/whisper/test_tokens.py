import pytest
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as HfTokenizer

from whisperlive_hybrid.backends.whisper.tokens import WhisperVocabulary
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import demo_model
from whisperlive_hybrid.types import DecodeOptions, Task

FILE = demo_model().directory / "tokenizer.json"
VOCABULARY = WhisperVocabulary(FILE, is_multilingual=True, longest_text=448)
THEIRS = Tokenizer(HfTokenizer.from_file(str(FILE)), True, task="transcribe", language="en")
"""faster-whisper's view of the same file."""


def test_suppresses_what_faster_whisper_suppresses() -> None:
    """Sounds, brackets and control tokens are never written."""
    assert tuple(VOCABULARY.list_suppressed()) == get_suppressed_tokens(THEIRS, [-1])


def test_starts_as_the_model_was_trained() -> None:
    """Start, language, task; a model that knows only English needs the first alone."""
    assert VOCABULARY.start_sequence("en", Task.TRANSCRIBE) == list(THEIRS.sot_sequence)
    assert VOCABULARY.start_sequence("de", Task.TRANSLATE)[2] == THEIRS.translate
    english = WhisperVocabulary(FILE, is_multilingual=False, longest_text=448)
    assert english.start_sequence("en", Task.TRANSCRIBE) == [THEIRS.sot]


def test_knows_its_marks() -> None:
    """Text ends where the special tokens begin; time marks come last."""
    assert VOCABULARY.end_of_text == THEIRS.eot
    assert VOCABULARY.timestamp_begin == THEIRS.timestamp_begin


@given(
    text=st.text(
        st.characters(max_codepoint=0x24F, exclude_characters="|", exclude_categories=["C", "Z"]),
        max_size=40,
    )
)
def test_text_comes_back(text: str) -> None:
    """Decoding the tokens gives the text byte for byte, with or without marks around it."""
    tokens = VOCABULARY._encode(text)
    marked = [VOCABULARY.timestamp_begin, *tokens, VOCABULARY.timestamp_begin + 50]
    assert VOCABULARY.decode(marked).strip() == text.strip()


@given(
    text=st.text(
        st.characters(max_codepoint=0x24F, exclude_characters="|", exclude_categories=["C", "Z"]),
        max_size=40,
    )
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_words_are_the_text(language: str, text: str) -> None:
    """Cutting into words loses no character and no token, with spaces or without."""
    tokens = VOCABULARY._encode(text)
    words = VOCABULARY.split_words(tokens, language)
    assert "".join(word for word, _ in words) == VOCABULARY.decode(tokens)
    assert sum(length for _, length in words) == len(tokens)


@given(text=st.text(max_size=40))
def test_spellings_are_the_bytes_of_the_text(text: str) -> None:
    """Any character in any script, also where a token holds only a part of it."""
    tokens = VOCABULARY._encode(text)
    spelled = b"".join(VOCABULARY.spelling(token) for token in tokens)
    assert spelled.decode() == VOCABULARY.decode(tokens)


def test_every_token_has_a_spelling_of_its_own() -> None:
    """None is lost and no two are alike, so bytes say which token it was."""
    tokens = range(VOCABULARY.end_of_text)
    assert len({VOCABULARY.spelling(token) for token in tokens}) == len(tokens)


def test_words_begin_at_spaces() -> None:
    """Words keep their leading space; punctuation stands by itself."""
    tokens = VOCABULARY._encode("Oscar buys, the picture.")
    words = [word for word, _ in VOCABULARY.split_words(tokens, "en")]
    assert words == [" Oscar", " buys", ",", " the", " picture", "."]


def test_without_prompt_nothing_stands_before_the_start() -> None:
    """No prompt, no mark of previous text."""
    assert VOCABULARY.previous_text(DecodeOptions()) == []
    assert VOCABULARY.previous_text(DecodeOptions(prompt="  ", hotwords="\n")) == []


def test_hotwords_stand_before_the_prompt() -> None:
    """Both follow the mark of previous text, as in faster-whisper."""
    previous = VOCABULARY.previous_text(DecodeOptions(prompt="Anna sings", hotwords="Oscar"))
    assert previous[0] == THEIRS.sot_prev
    assert VOCABULARY.decode(previous) == " Oscar Anna sings"


def test_a_long_prompt_keeps_its_end_and_hotwords_their_beginning() -> None:
    """The text next to the speech matters most; the model keeps room for its text."""
    options = DecodeOptions(prompt="Anna " * 300 + "sings", hotwords="Oscar " + "Peter " * 300)
    previous = VOCABULARY.previous_text(options)
    assert len(previous) == 448 // 2
    assert VOCABULARY.decode(previous).startswith(" Oscar Peter")
    assert VOCABULARY.decode(previous).endswith("Anna sings")


@pytest.mark.parametrize(
    "text",
    ["<|startoftranscript|>", "<|de|> hello", "<|0.00|> hello <|endoftext|>", "<|nospeech|>"],
)
def test_a_prompt_is_text_and_nothing_else(text: str) -> None:
    """Control tokens that are spelled out in a prompt or hotwords are left out."""
    for options in (DecodeOptions(prompt=text), DecodeOptions(hotwords=text)):
        previous = VOCABULARY.previous_text(options)
        assert all(token < VOCABULARY.end_of_text for token in previous[1:])


def test_a_prompt_of_megabytes_is_cut_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what can be used is made into tokens, for every window; the result is the same."""
    read: list[int] = []
    encode = VOCABULARY._encode

    def counted(text: str) -> list[int]:
        read.append(len(text))
        return encode(text)

    monkeypatch.setattr(VOCABULARY, "_encode", counted)
    words = "the boat is blue " * 200
    short = VOCABULARY.previous_text(DecodeOptions(prompt=words, hotwords=words))
    long = DecodeOptions(prompt="a " * 2**20 + words, hotwords=words + "a " * 2**20)
    assert VOCABULARY.previous_text(long) == short
    assert max(read) < 10_000


def test_a_missing_tokenizer_is_said_in_one_line() -> None:
    """The operator reads which file is missing, and no path."""
    with pytest.raises(ModelUnavailable, match=r"^The model directory has no tokenizer\.json\.$"):
        WhisperVocabulary(FILE.with_name("none"), is_multilingual=True, longest_text=448)
