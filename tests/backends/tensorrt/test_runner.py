import gc
import shutil
import weakref
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from trt_double.installed import tensorrt_llm_installed
from trt_double.runner import ModelRunnerCpp
from trt_double.tensors import Cuda

from whisperlive_hybrid.backends.tensorrt import runner as trt_runner
from whisperlive_hybrid.backends.tensorrt.config import EngineSettings
from whisperlive_hybrid.backends.tensorrt.logits import RowRequest
from whisperlive_hybrid.backends.tensorrt.runner import TrtRunner
from whisperlive_hybrid.backends.whisper.features import MelFeatures
from whisperlive_hybrid.backends.whisper.tokens import WhisperVocabulary
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import load_model_files
from whisperlive_hybrid.models.formats import TENSORRT
from whisperlive_hybrid.types import Samples, Task


def vocabulary(directory: Path) -> WhisperVocabulary:
    """The tokenizer beside the engines."""
    file = directory / "tokenizer.json"
    return WhisperVocabulary(file, is_multilingual=True, longest_text=448)


def loaded(directory: Path) -> TrtRunner:
    """The engines of a directory on the stand-in."""
    files = load_model_files(directory, form=TENSORRT)
    settings = EngineSettings(directory, files.name)
    with tensorrt_llm_installed():
        return TrtRunner(files, settings, vocabulary(directory).rules(), n_rows=4)


@pytest.fixture
def runner(tensorrt_directory: Path) -> TrtRunner:
    """The demo model."""
    return loaded(tensorrt_directory)


@pytest.fixture
def copied(tensorrt_directory: Path, tmp_path: Path) -> Path:
    """A copy of the engines for a test to spoil."""
    return shutil.copytree(tensorrt_directory, tmp_path / "mine")


def calls(runner: TrtRunner) -> list[dict[str, object]]:
    """Return the arguments of the runtime's calls."""
    model = runner._model
    assert isinstance(model, ModelRunnerCpp)
    return model.calls


def request(directory: Path, samples: Samples) -> RowRequest:
    """Return a request to transcribe English audio."""
    known = vocabulary(directory)
    first, *forced = known.start_sequence("en", Task.TRANSCRIBE)
    return RowRequest(MelFeatures(80)(samples, 5.0).T, (first,), tuple(forced))


def test_the_likeliest_tokens_take_one_call(runner: TrtRunner, tensorrt_directory: Path) -> None:
    """The call has room for the text and the forced tokens, and does not sample."""
    silence = request(tensorrt_directory, np.zeros(16_000, np.float32))
    assert len(runner.generate_greedy([silence, silence], longest=7)) == 2
    assert calls(runner) == [{"max_new_tokens": 9, "rows": 2, "num_beams": 1}]


def test_samples_are_five_calls_with_seeds_of_their_own(
    runner: TrtRunner, tensorrt_directory: Path
) -> None:
    """From the whole distribution, the same each time; nothing depends on the rows beside."""
    noise = np.random.default_rng(1).normal(0, 0.1, 32_000).astype(np.float32)
    one = request(tensorrt_directory, noise)
    (alone,) = runner.generate_best_sample([one], longest=9, temperature=0.8)
    assert [call["random_seed"] for call in calls(runner)] == [0, 1, 2, 3, 4]
    assert {(c["temperature"], c["top_k"], c["top_p"]) for c in calls(runner)} == {(0.8, 0, 1.0)}
    other = request(tensorrt_directory, np.zeros(16_000, np.float32))
    again, _ = runner.generate_best_sample([one, other], longest=9, temperature=0.8)
    assert again.path == alone.path


def test_the_best_sample_is_the_likeliest_per_token(
    runner: TrtRunner, tensorrt_directory: Path
) -> None:
    """openai/whisper ranks samples in this way."""
    noise = np.random.default_rng(2).normal(0, 0.1, 32_000).astype(np.float32)
    one = request(tensorrt_directory, noise)
    sampling = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    drawn = [runner._generate([one], 9, {**sampling, "random_seed": n})[0] for n in range(5)]
    assert len({sample.path for sample in drawn}) > 1
    (best,) = runner.generate_best_sample([one], longest=9, temperature=1.0)
    assert best.path.rank == max(sample.path.rank for sample in drawn)


def test_calls_do_not_meet_in_the_runtime(runner: TrtRunner, tensorrt_directory: Path) -> None:
    """The stand-in refuses a second call meanwhile, as the real one would mix up the answers."""
    one = request(tensorrt_directory, np.zeros(16_000, np.float32))
    answers: list[object] = []

    def ask() -> None:
        answers.extend(runner.generate_greedy([one], longest=9))

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4


def test_closing_frees_the_memory(tensorrt_directory: Path) -> None:
    """No reference to the runtime is left, not even in a cycle, so it frees the GPU's memory."""
    runner = loaded(tensorrt_directory)
    model = weakref.ref(runner._model)
    gc.disable()
    try:
        runner.close()
        assert model() is None
    finally:
        gc.enable()


def refusal(directory: Path) -> str:
    """Return the message for engines that cannot be loaded: one line without a path."""
    with pytest.raises(ModelUnavailable) as caught:
        loaded(directory)
    assert "\n" not in caught.value.message
    assert str(directory.parent) not in caught.value.message
    return caught.value.message


def test_an_engine_of_another_gpu_is_refused_with_the_reason(copied: Path) -> None:
    """TensorRT only says that it cannot read it; the operator reads which GPU this is."""
    (copied / "decoder" / "rank0.engine").write_text("built elsewhere")
    message = refusal(copied)
    assert "runs on the kind of GPU that it was built on" in message
    assert "NVIDIA Stand-in (compute capability 8.9)" in message
    assert "Build it here" in message


def test_what_else_the_runtime_says_is_passed_on(
    tensorrt_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first line of the message has the reason."""

    def fail(**_options: object) -> None:
        raise RuntimeError(f"out of memory in {tensorrt_directory}\n1 0x7f libtensorrt_llm.so")

    monkeypatch.setattr(ModelRunnerCpp, "from_dir", fail)
    assert refusal(tensorrt_directory) == ("Model 'demo' cannot be loaded: out of memory in demo")


def test_a_machine_without_a_gpu_is_one_line(
    tensorrt_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked before anything heavy is imported."""
    monkeypatch.setattr(Cuda, "is_available", staticmethod(lambda: False))
    assert refusal(tensorrt_directory) == (
        "Backend 'tensorrt' needs an NVIDIA GPU, and torch sees none."
    )


@pytest.mark.parametrize("installed", ["0.21.0", "1.1.0", "1.3.0rc21"])
def test_another_version_than_the_known_one_is_one_line(
    installed: str, tensorrt_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its source has not been read, and later ones have no engines at all."""
    monkeypatch.setattr(trt_runner, "version", lambda _package: installed)
    message = refusal(tensorrt_directory)
    assert f"written for TensorRT-LLM 1.2, and {installed} is installed" in message


def test_engines_of_another_version_are_one_line(
    tensorrt_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine runs with the version that built it."""
    monkeypatch.setattr(trt_runner, "version", lambda _package: "1.2.0")
    message = refusal(tensorrt_directory)
    assert "built with TensorRT-LLM 1.2.1, and 1.2.0 is installed" in message
    assert "Build it again" in message


def test_a_package_that_cannot_be_imported_is_one_line(
    tensorrt_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries of CUDA and MPI that are not there show when it is imported."""

    def broken() -> bool:
        raise OSError("libmpi.so.40: cannot open shared object file\nsomewhere")

    monkeypatch.setattr(Cuda, "is_available", staticmethod(broken))
    message = refusal(tensorrt_directory)
    assert "tensorrt_llm cannot be imported: libmpi.so.40: cannot open" in message


def test_without_the_package_nothing_is_imported(tensorrt_directory: Path) -> None:
    """The operator reads which version to install."""
    files = load_model_files(tensorrt_directory, form=TENSORRT)
    settings = EngineSettings(tensorrt_directory, files.name)
    with pytest.raises(ModelUnavailable, match=r"needs the package tensorrt_llm"):
        TrtRunner(files, settings, vocabulary(tensorrt_directory).rules(), n_rows=1)
