"""The formats of model directories: which files a backend needs, and where such a model is got."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whisperlive_hybrid.config import BackendName


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """What lies in a directory of one runtime."""

    name: str
    backend: BackendName
    weights: tuple[str, ...]
    """Files that hold the numbers; a directory with all of them is of this format."""
    hub_files: tuple[str, ...]
    """Patterns of what is downloaded from the Hugging Face hub, of each at least one file; none
    where nothing can be downloaded."""
    advice: str
    """How to make such a directory."""
    hub_extras: tuple[str, ...] = ()
    """Patterns of what is downloaded besides, where there is any."""

    def fits(self, directory: Path) -> bool:
        """Whether a directory is of this format."""
        return all((directory / file).is_file() for file in self.weights)

    def missing(self, directory: Path) -> list[str]:
        """Weight files that are not there."""
        return [file for file in self.weights if not (directory / file).is_file()]

    def missing_from_hub(self, directory: Path) -> list[str]:
        """Patterns that a complete download would have a file for, and that have none."""
        return [pattern for pattern in self.hub_files if not any(directory.glob(pattern))]


CTRANSLATE2: Final = ModelFormat(
    name="CTranslate2",
    backend="faster_whisper",
    weights=("model.bin",),
    hub_files=(
        "model.bin",
        "config.json",
        "tokenizer.json",
        "vocabulary.*",
    ),
    hub_extras=("preprocessor_config.json",),
    advice="Convert it with ct2-transformers-converter --copy_files tokenizer.json "
    "preprocessor_config.json.",
)

OPENVINO: Final = ModelFormat(
    name="OpenVINO",
    backend="openvino",
    weights=("openvino_encoder_model.bin", "openvino_decoder_model.bin"),
    hub_files=("openvino_encoder_model.*", "openvino_decoder_model.*", "*.json"),
    advice="Export it with optimum-cli export openvino "
    "--task automatic-speech-recognition-with-past.",
)

TENSORRT: Final = ModelFormat(
    name="TensorRT-LLM",
    backend="tensorrt",
    weights=("encoder/rank0.engine", "decoder/rank0.engine"),
    hub_files=(),  # an engine runs on the kind of GPU that it was built on
    advice="Build it with TensorRT-LLM's convert_checkpoint.py for Whisper and trtllm-build.",
)

FORMATS: Final = (CTRANSLATE2, OPENVINO, TENSORRT)


def format_for(backend: BackendName) -> ModelFormat:
    """The format that a backend reads; backends without files of their own name CTranslate2's."""
    return next((form for form in FORMATS if form.backend == backend), CTRANSLATE2)
