"""Tests of the TensorRT backend alone; the contract of all is in test_contract.py.

These tests always run on the stand-in for TensorRT-LLM's runtime.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from speech_clips import Clip, whole_window
from structlog.testing import capture_logs
from trt_double.installed import tensorrt_llm_installed

from whisperlive_hybrid.backends.base import Align, Backend, DetectLanguage, Encode, Generate
from whisperlive_hybrid.backends.openvino.backend import OpenVinoBackend
from whisperlive_hybrid.backends.tensorrt.backend import TensorRtBackend
from whisperlive_hybrid.errors import ModelUnavailable, Unsupported
from whisperlive_hybrid.models.files import CARD_FILE, CONTEXTS_S, load_model_files
from whisperlive_hybrid.models.formats import TENSORRT
from whisperlive_hybrid.types import CONTEXT_S, DecodeOptions, Hypothesis, Language, Task

GREEDY = DecodeOptions(beam_size=1)


def loaded(directory: Path, **options: str) -> TensorRtBackend:
    """The engines of a directory."""
    files = load_model_files(directory, form=TENSORRT)
    with tensorrt_llm_installed():
        return TensorRtBackend(files, **options)  # type: ignore[arg-type]  # only strings are given


@pytest.fixture(scope="module")
def stand_in(tensorrt_directory: Path) -> TensorRtBackend:
    """The demo model, loaded once."""
    return loaded(tensorrt_directory)


@pytest.fixture
def copied(tensorrt_directory: Path, tmp_path: Path) -> Path:
    """A copy of the engines for a test to spoil."""
    return shutil.copytree(tensorrt_directory, tmp_path / "mine")


def refusal(directory: Path, **options: str) -> str:
    """Return the message for unusable engines: one line without a path."""
    with pytest.raises(ModelUnavailable) as caught:
        loaded(directory, **options)
    assert "\n" not in caught.value.message
    assert str(directory.parent) not in caught.value.message
    return caught.value.message


def read(backend: Backend, clip: Clip, options: DecodeOptions = GREEDY) -> Hypothesis:
    """Return the hypothesis of a backend for a clip."""
    (encoded,) = backend.encode([Encode(whole_window(clip.samples), 5.0)])
    assert not isinstance(encoded, Exception)
    work = Generate(encoded, Language(clip.language or "en", 1.0), options, 0.0)
    (hypothesis,) = backend.generate([work])
    assert isinstance(hypothesis, Hypothesis)
    return hypothesis


def test_reads_and_judges_as_the_other_backend_does(
    stand_in: TensorRtBackend, demo_openvino: OpenVinoBackend, sentences: list[Clip]
) -> None:
    """Greedy on both, the same rules in torch and in numpy: the same tokens, scores, silence."""
    pairs = [(read(stand_in, clip), read(demo_openvino, clip)) for clip in sentences]
    same = [(a, b) for a, b in pairs if a.tokens == b.tokens]
    assert len(same) >= len(pairs) - 1  # half precision may tip a balance
    for a, b in same:
        assert a.avg_logprob == pytest.approx(b.avg_logprob, abs=0.02)
        assert a.no_speech_prob == pytest.approx(b.no_speech_prob, abs=0.01)


def test_a_prompt_steers_as_on_the_other_backend(
    stand_in: TensorRtBackend, demo_openvino: OpenVinoBackend, sentences: list[Clip]
) -> None:
    """Prompt and hotwords are in the same positions."""
    options = replace(GREEDY, prompt="Anna sings at home.", hotwords="Oscar")
    ours, theirs = (read(backend, sentences[0], options) for backend in (stand_in, demo_openvino))
    assert ours.tokens == theirs.tokens
    assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=0.02)
    assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=0.01)


def test_languages_are_as_probable_as_on_the_other_backend(
    stand_in: TensorRtBackend, demo_openvino: OpenVinoBackend, sentences: list[Clip]
) -> None:
    """The share among all languages, for the likeliest and for any candidate."""
    for candidates in ((), ("fr",)):
        detected = []
        for backend in (stand_in, demo_openvino):
            (encoded,) = backend.encode([Encode(whole_window(sentences[8].samples), 5.0)])
            assert not isinstance(encoded, Exception)
            (language,) = backend.detect_language([DetectLanguage(encoded, candidates)])
            assert isinstance(language, Language)
            detected.append(language)
        assert detected[0].code == detected[1].code
        assert detected[0].probability == pytest.approx(detected[1].probability, rel=0.05, abs=1e-6)


def test_a_sample_is_the_same_each_time(stand_in: TensorRtBackend, sentences: list[Clip]) -> None:
    """The seeds are fixed."""
    (encoded,) = stand_in.encode([Encode(whole_window(sentences[0].samples), 5.0)])
    assert not isinstance(encoded, Exception)
    work = Generate(encoded, Language("en", 1.0), GREEDY, 1.0)
    assert stand_in.generate([work]) == stand_in.generate([work])


def test_what_cannot_be_had_is_refused_by_name(
    stand_in: TensorRtBackend, sentences: list[Clip]
) -> None:
    """Word times, probabilities, a wider search; asked all the same, every item says so."""
    capabilities = stand_in.capabilities
    capabilities.check(DecodeOptions(prompt="Anna", hotwords="Oscar", task=Task.TRANSLATE))
    capabilities.check(GREEDY)
    for options, param in (
        (DecodeOptions(words=True), "timestamp_granularities"),
        (DecodeOptions(token_probabilities=True), "include"),
        (DecodeOptions(beam_size=3), "beam_size"),
    ):
        with pytest.raises(Unsupported) as caught:
            capabilities.check(options)
        assert caught.value.param == param
    (encoded,) = stand_in.encode([Encode(whole_window(sentences[0].samples), 5.0)])
    assert not isinstance(encoded, Exception)
    work = Align(encoded, Language("en", 1.0), Task.TRANSCRIBE, (300,), 1.0)
    assert [type(answer) for answer in stand_in.align([work, work])] == [Unsupported] * 2


def test_engines_that_were_built_small_say_so(copied: Path) -> None:
    """With upstream's own sizes: shorter windows, no prompts; never a text that is cut off."""
    file = copied / "decoder" / "config.json"
    config = json.loads(file.read_text())
    config["build_config"] |= {"max_seq_len": 114, "max_input_len": 14, "max_batch_size": 4}
    file.write_text(json.dumps(config))
    (copied / "whisperlive.json").unlink()
    capabilities = loaded(copied).capabilities
    assert capabilities.longest_window_s == pytest.approx(14.9, abs=0.1)
    assert capabilities.generate_batch == 4
    with pytest.raises(Unsupported, match="takes no prompt"):
        capabilities.check(DecodeOptions(prompt="Anna"))


def test_a_card_with_a_silent_tail_keeps_the_full_context(copied: Path) -> None:
    """Its contexts were measured with the tail, which engines cannot have; the log says so."""
    card = {"shortest_context_s": 5.0, "short_context_languages": ["de"]}
    for silent_tail, contexts_s in ((False, CONTEXTS_S), (True, (CONTEXT_S,))):
        (copied / CARD_FILE).write_text(json.dumps(card | {"silent_tail": silent_tail}))
        with capture_logs() as logs:
            capabilities = loaded(copied).capabilities
        assert capabilities.contexts_s == contexts_s
        assert capabilities.short_context_languages == frozenset({"de"})
        warnings = [line for line in logs if "no silent tail" in line["event"]]
        assert [line["model"] for line in warnings] == ["mine"] * silent_tail


def test_an_answer_never_exceeds_what_the_engine_has_room_for(
    copied: Path, clips: list[Clip]
) -> None:
    """The runtime would refuse a longer bound, and with it the window."""
    file = copied / "decoder" / "config.json"
    config = json.loads(file.read_text())
    config["build_config"] |= {"max_seq_len": 50, "max_input_len": 14}
    file.write_text(json.dumps(config))
    backend = loaded(copied)
    long = next(clip for clip in clips if "long" in clip.file)
    (encoded,) = backend.encode([Encode(whole_window(long.samples), 15.0)])
    assert not isinstance(encoded, Exception)
    (hypothesis,) = backend.generate([Generate(encoded, Language("en", 1.0), GREEDY, 0.0)])
    assert isinstance(hypothesis, Hypothesis)
    assert 0 < len(hypothesis.tokens) <= 47


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_other_devices_are_refused(device: str, tensorrt_directory: Path) -> None:
    """An engine runs on NVIDIA's."""
    assert f"runs on cuda (NVIDIA), not on '{device}'" in refusal(tensorrt_directory, device=device)


def test_other_numbers_than_it_was_built_for_are_refused(tensorrt_directory: Path) -> None:
    """The type of computation is fixed when an engine is built."""
    message = refusal(tensorrt_directory, compute_type="int8")
    assert "built to compute in float16, not in 'int8'" in message
    assert loaded(tensorrt_directory, compute_type="float16", device="cuda").capabilities


def test_engines_without_a_tokenizer_are_refused_with_advice(copied: Path) -> None:
    """Upstream's scripts write none."""
    (copied / "tokenizer.json").unlink()
    message = refusal(copied)
    assert "'mine' has no tokenizer.json" in message
    assert "openai/whisper-small" in message


def test_the_tokenizer_of_another_whisper_is_refused(copied: Path) -> None:
    """One token more or less moves all time marks: large-v3 has one more than its elders."""
    file = copied / "decoder" / "config.json"
    config = json.loads(file.read_text())
    config["pretrained_config"]["vocab_size"] += 1
    file.write_text(json.dumps(config))
    assert "has 2983 tokens, the tokenizer 2982" in refusal(copied)


def test_a_model_in_another_format_is_refused_with_its_backend(openvino_directory: Path) -> None:
    """And how to build engines."""
    message = refusal(openvino_directory)
    assert "in OpenVINO's format, not TensorRT-LLM's" in message
    assert "trtllm-build" in message
