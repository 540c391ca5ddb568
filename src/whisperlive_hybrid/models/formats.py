"""The formats of model directories: the files that a backend needs, and how to get them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whisperlive_hybrid.config import BackendName


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """The files in a model directory of one runtime."""

    name: str
    backend: BackendName
    weights: tuple[str, ...]
    """The files of weights; a directory with all of them is of this format."""
    hub_files: tuple[str, ...]
    """Patterns of the files on the Hugging Face hub, at least one file each; empty if the format
    cannot be downloaded."""
    advice: str
    """A sentence about how to make such a directory."""
    hub_extras: tuple[str, ...] = ()
    """Patterns of files that are downloaded if they exist."""

    def fits(self, directory: Path) -> bool:
        """Return whether a directory is of this format."""
        return all((directory / file).is_file() for file in self.weights)

    def list_missing(self, directory: Path) -> list[str]:
        """Return the files of weights that are missing."""
        return [file for file in self.weights if not (directory / file).is_file()]

    def list_missing_from_hub(self, directory: Path) -> list[str]:
        """Return the patterns of `hub_files` without a file; none after a complete download."""
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


def get_format(backend: BackendName) -> ModelFormat:
    """Return the format of a backend; CTranslate2's for backends without files."""
    return next((form for form in FORMATS if form.backend == backend), CTRANSLATE2)
