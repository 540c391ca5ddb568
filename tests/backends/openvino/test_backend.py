"""Tests of the OpenVINO backend alone; the contract of all is in test_contract.py."""

import gc
import re
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import jiwer
import pytest
from speech_clips import Clip, whole_window

from whisperlive_hybrid.backends.base import Align, Encode, Generate
from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.openvino.backend import OpenVinoBackend
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import CARD_FILE, load_model_files
from whisperlive_hybrid.models.formats import OPENVINO
from whisperlive_hybrid.types import DecodeOptions, Hypothesis, Language, Task


@pytest.fixture
def copied(openvino_directory: Path, tmp_path: Path) -> Path:
    """A copy of the model for a test to spoil."""
    return shutil.copytree(openvino_directory, tmp_path / "mine")


def loaded(directory: Path, **options: str) -> OpenVinoBackend:
    """The model in a directory."""
    return OpenVinoBackend(load_model_files(directory, form=OPENVINO), **options)  # type: ignore[arg-type]  # only strings are given


def refusal(directory: Path, **options: str) -> str:
    """Return the message for an unusable model: one line without a path."""
    with pytest.raises(ModelUnavailable) as caught:
        loaded(directory, **options)
    assert "\n" not in caught.value.message
    assert str(directory.parent) not in caught.value.message
    return caught.value.message


def read(backend: OpenVinoBackend | Ct2Backend, clip: Clip, context_s: float) -> Hypothesis:
    """Return the hypothesis of a backend for a clip."""
    (encoded,) = backend.encode([Encode(whole_window(clip.samples), context_s)])
    assert not isinstance(encoded, Exception)
    work = Generate(encoded, Language(clip.language or "en", 1.0), DecodeOptions(), 0.0)
    (hypothesis,) = backend.generate([work])
    assert isinstance(hypothesis, Hypothesis)
    return hypothesis


@pytest.mark.parametrize("context_s", [5.0, 30.0])
def test_reads_as_well_as_the_other_backend(
    demo: Ct2Backend, demo_openvino: OpenVinoBackend, sentences: list[Clip], context_s: float
) -> None:
    """The word error rates on single sentences are at most two words of 94 apart."""

    def error_rate(backend: OpenVinoBackend | Ct2Backend) -> float:
        texts = [backend.vocabulary.decode(read(backend, c, context_s).tokens) for c in sentences]
        return 100 * float(jiwer.wer([plain(c.text) for c in sentences], list(map(plain, texts))))

    def plain(text: str) -> str:
        return " ".join(re.findall(r"\w+", text.lower()))

    assert abs(error_rate(demo_openvino) - error_rate(demo)) <= 2.2


def test_scores_are_those_of_the_other_backend(
    demo: Ct2Backend, demo_openvino: OpenVinoBackend, sentences: list[Clip]
) -> None:
    """Equal texts have equal scores, so thresholds mean the same on both."""
    pairs = [(read(demo, clip, 5.0), read(demo_openvino, clip, 5.0)) for clip in sentences[:8]]
    decode = demo.vocabulary.decode  # on some processors int8 sets a time mark one step beside
    same = [(a, b) for a, b in pairs if decode(a.tokens) == decode(b.tokens)]
    assert len(same) >= 6
    for a, b in same:
        assert a.avg_logprob == pytest.approx(b.avg_logprob, abs=0.02)
        assert a.no_speech_prob == pytest.approx(b.no_speech_prob, abs=0.01)


def test_a_sample_can_be_drawn_again(demo_openvino: OpenVinoBackend, clips: list[Clip]) -> None:
    """A window at a temperature gives the same answer every time, alone or in a batch."""
    noisy = next(clip for clip in clips if "long" in clip.file)
    (encoded,) = demo_openvino.encode([Encode(whole_window(noisy.samples), 30.0)])
    assert not isinstance(encoded, Exception)
    work = Generate(encoded, Language("en", 1.0), DecodeOptions(max_new_tokens=20), 1.0)
    (alone,) = demo_openvino.generate([work])
    assert isinstance(alone, Hypothesis)
    for answer in demo_openvino.generate([work, replace(work), work]):
        assert isinstance(answer, Hypothesis)
        assert answer.tokens == alone.tokens


def test_an_answer_does_not_depend_on_the_last_one(
    demo_openvino: OpenVinoBackend, sentences: list[Clip]
) -> None:
    """States and audio of earlier calls have no effect, with any number of beams."""
    first = read(demo_openvino, sentences[0], 5.0)
    (longer,) = demo_openvino.encode([Encode(whole_window(sentences[9].samples), 7.5)])
    assert not isinstance(longer, Exception)
    for beam_size in (1, 3):
        options = DecodeOptions(beam_size=beam_size)
        demo_openvino.generate([Generate(longer, Language("de", 1.0), options, 0.0)] * 2)
    assert read(demo_openvino, sentences[0], 5.0) == first


def test_a_model_whose_attention_is_hidden_measures_no_words(
    copied: Path, sentences: list[Clip]
) -> None:
    """Capabilities say so; everything else works."""
    config = copied / "config.json"
    config.write_text(config.read_text().replace('"decoder_layers": 3', '"decoder_layers": 2'))
    generation = copied / "generation_config.json"
    generation.unlink()
    backend = loaded(copied)
    assert not backend.capabilities.word_times
    assert not backend.capabilities.token_probabilities
    assert backend.vocabulary.decode(read(backend, sentences[0], 5.0).tokens)


def test_an_english_only_model_detects_and_translates_nothing(
    copied: Path, sentences: list[Clip]
) -> None:
    """Its prompt is the start of transcript alone; it is read, and its words are timed."""
    generation = copied / "generation_config.json"
    text = generation.read_text()
    generation.write_text(text.replace('"is_multilingual": true', '"is_multilingual": false'))
    backend = loaded(copied)
    assert backend.capabilities.languages == frozenset({"en"})
    assert backend.capabilities.tasks == frozenset({Task.TRANSCRIBE})
    tokens = tuple(backend.vocabulary._encode(sentences[0].text))
    (encoded,) = backend.encode([Encode(whole_window(sentences[0].samples), 5.0)])
    assert not isinstance(encoded, Exception)
    (times,) = backend.align([Align(encoded, Language("en", 1.0), Task.TRANSCRIBE, tokens, 2.0)])
    assert not isinstance(times, Exception)
    assert len(times) == len(tokens)


def test_a_model_without_a_card_keeps_the_full_context(copied: Path) -> None:
    """Its encoder could read less; that nothing is lost by it has not been shown."""
    (copied / CARD_FILE).unlink()
    assert loaded(copied).capabilities.contexts_s == (30.0,)


@pytest.mark.parametrize(
    "file",
    [
        "openvino_encoder_model.xml",
        "openvino_decoder_model.xml",
        "config.json",
        "tokenizer.json",
    ],
)
def test_a_missing_or_garbled_file_is_one_line(copied: Path, file: str) -> None:
    """A broken download is no traceback."""
    (copied / file).write_bytes(b"\x00garbage\xff" * 40)
    refusal(copied)
    (copied / file).unlink()
    assert file.removesuffix(".xml") in refusal(copied)


def test_a_truncated_file_of_weights_is_one_line(copied: Path) -> None:
    """A download that broke off too."""
    weights = copied / "openvino_decoder_model.bin"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "'mine' cannot be loaded" in refusal(copied)


def test_a_decoder_without_states_is_refused_with_the_export_command(copied: Path) -> None:
    """Exports with --disable-stateful and some older models on the hub have none."""
    for suffix in ("xml", "bin"):
        encoder = copied / f"openvino_encoder_model.{suffix}"
        shutil.copyfile(encoder, copied / f"openvino_decoder_model.{suffix}")
    assert "without --disable-stateful" in refusal(copied)


def test_the_weights_are_freed(openvino_directory: Path) -> None:
    """After closing, nothing holds the compiled models any more."""
    backend = loaded(openvino_directory)
    with backend._decoders.borrow() as decoder:
        held = weakref.ref(decoder)
    del decoder
    backend.close()
    gc.collect()
    assert held() is None
