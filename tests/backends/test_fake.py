import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speech_clips import whole_window

from whisperlive_hybrid.backends.base import Encode, Generate
from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend, FakeEncoded, pause, speak
from whisperlive_hybrid.types import DecodeOptions, Hypothesis, Language, Samples

RECORDING = np.concatenate([pause(0.5), speak([1, 999]), pause(0.7)])


def probabilities(pieces: list[Samples]) -> list[float]:
    """Return the probabilities of a new stream for audio in these pieces."""
    stream = EnergyVad().open()
    return [p for piece in pieces for p in stream.push(piece)] + stream.flush()


@given(cuts=st.lists(st.integers(0, len(RECORDING)), max_size=12))
def test_voices_are_judged_alike_in_any_split(cuts: list[int]) -> None:
    """The fake detector keeps the law of the real one."""
    assert probabilities(np.split(RECORDING, sorted(cuts))) == probabilities([RECORDING])


@given(words=st.lists(st.integers(1, 989), max_size=12, unique=True))
def test_reads_what_was_spoken(words: list[int]) -> None:
    """Each level is its word, once and in order."""
    backend = FakeBackend()
    (encoded,) = backend.encode([Encode(whole_window(speak(words)), 30.0)])
    assert isinstance(encoded, FakeEncoded)
    assert [level for level, _, _ in encoded.words] == words
    work = Generate(encoded, Language("en", 1.0), DecodeOptions(), 0.0)
    (hypothesis,) = backend.generate([work])
    assert isinstance(hypothesis, Hypothesis)
    assert backend.vocabulary.decode(hypothesis.tokens) == "".join(f" w{n}" for n in words)


def test_refuses_a_batch_of_mixed_keys() -> None:
    """It is as strict as CTranslate2, so that the engine's tests mean something."""
    works = [Encode(whole_window(speak([1])), 5.0), Encode(whole_window(speak([1])), 10.0)]
    with pytest.raises(ValueError, match="mixed keys"):
        FakeBackend().encode(works)
