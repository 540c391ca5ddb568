"""From the files of an exported Whisper to compiled OpenVINO models on a device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import openvino as ov
from pydantic import BaseModel, ConfigDict, Field

from whisperlive_hybrid.backends.openvino.decoder import INPUTS, OvDecoder
from whisperlive_hybrid.backends.openvino.graph import (
    parted_cross,
    share_keys,
    want_attention,
    want_places,
    with_any_length,
)
from whisperlive_hybrid.backends.tensorrt.config import ENGLISH_ONLY_VOCABULARY, read_settings
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import ModelFiles


class ExportedConfig(BaseModel):
    """The part of config.json that is needed to run the graphs."""

    model_config = ConfigDict(frozen=True)

    num_mel_bins: int = Field(ge=1)
    decoder_layers: int = Field(ge=1)
    decoder_attention_heads: int = Field(ge=1)
    max_target_positions: int = Field(ge=2)
    vocab_size: int = Field(ge=1)


class ExportedGeneration(BaseModel):
    """The part of generation_config.json that is used; older exports lack some of it."""

    model_config = ConfigDict(frozen=True)

    is_multilingual: bool | None = None
    alignment_heads: tuple[tuple[int, int], ...] | None = None
    """(layer, head) whose attention follows the speech."""


class ExportedSettings:
    """Both files of one directory."""

    def __init__(self, directory: Path) -> None:
        """Raises `ModelUnavailable` with one line if they are missing or wrong."""
        self.config = read_settings(ExportedConfig, directory, "config.json")
        name = "generation_config.json"
        has_generation = (directory / name).is_file()
        self._generation = (
            read_settings(ExportedGeneration, directory, name) if has_generation else None
        )

    @property
    def is_multilingual(self) -> bool:
        """As the file says; else by the size of the vocabulary."""
        told = self._generation.is_multilingual if self._generation else None
        return told if told is not None else self.config.vocab_size != ENGLISH_ONLY_VOCABULARY

    @property
    def alignment_heads(self) -> dict[int, tuple[int, ...]]:
        """Heads by layer; all of the upper half where none were measured, as openai/whisper."""
        told = self._generation.alignment_heads if self._generation else None
        layers, heads = self.config.decoder_layers, self.config.decoder_attention_heads
        every = [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]
        pairs = sorted(told or every)
        return {layer: tuple(h for other, h in pairs if other == layer) for layer, _ in pairs}


PRECISIONS: Final = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""What may be computed in; the weights keep the numbers that they were exported with."""


class Devices(Protocol):
    """The part of `openvino.Core` that knows the machine."""

    @property
    def available_devices(self) -> list[str]:
        """Such as CPU, GPU.0, GPU.1."""


@dataclass(frozen=True, slots=True)
class OvModels:
    """The compiled graphs of one Whisper."""

    encoder: ov.CompiledModel
    any_length: bool
    """Whether the encoder reads other lengths than 30 s."""
    cross: ov.CompiledModel
    """What the decoder computes from the encoder's output, once."""
    cross_names: tuple[str, ...]
    decoder: ov.CompiledModel
    aligner: ov.CompiledModel | None
    """The decoder with its attention as outputs; None if its graph shows none."""
    device: str
    compute_type: str

    def new_decoder(self) -> OvDecoder:
        """A decoder for one call at a time."""
        return self._working(self.decoder)

    def new_aligner(self) -> OvDecoder:
        """The same with attention; only if there is an aligner."""
        return self._working(self.aligner)

    def _working(self, compiled: ov.CompiledModel) -> OvDecoder:
        requests = self.cross.create_infer_request(), compiled.create_infer_request()
        return OvDecoder(*requests, self.cross_names)


def load_models(
    files: ModelFiles, settings: ExportedSettings, device: str, compute_type: str, workers: int
) -> OvModels:
    """Read, change and compile both graphs; raises `ModelUnavailable` with one line."""
    core = ov.Core()
    chosen = chosen_device(core, device, files.name)
    precision = chosen_precision(chosen, compute_type, files.name)
    options = _options(chosen, precision, workers)
    try:
        encoder = core.read_model(files.directory / "openvino_encoder_model.xml")
        decoder = core.read_model(files.directory / "openvino_decoder_model.xml")
        cross, cross_names = _parted(decoder, files.name)
        flexible = with_any_length(encoder)
        want_places(decoder)
        aligner = decoder.clone()
        has_attention = want_attention(
            aligner, settings.alignment_heads, settings.config.decoder_layers
        )
        share_keys(decoder)
        return OvModels(
            encoder=core.compile_model(flexible or encoder, chosen, options),
            any_length=flexible is not None,
            cross=core.compile_model(cross, chosen, options),
            cross_names=cross_names,
            decoder=core.compile_model(decoder, chosen, options),
            aligner=core.compile_model(aligner, chosen, options) if has_attention else None,
            device=chosen.lower(),
            compute_type=precision,
        )
    except RuntimeError as error:
        raise _not_loaded(files, error) from error


def chosen_device(core: Devices, device: str, name: str) -> str:
    """OpenVINO's name of the device. Its GPU is Intel's, and never taken unasked: it is untried."""
    present = {each.split(".")[0] for each in core.available_devices}
    wanted = {"auto": "CPU", "cpu": "CPU", "gpu": "GPU"}.get(device)
    if wanted is None or wanted not in present:
        raise ModelUnavailable(
            f"Model {name!r} cannot be loaded: backend openvino runs on cpu or gpu (Intel's), not "
            f"on {device!r}; this machine has {', '.join(sorted(present)).lower()}."
        )
    return wanted


def chosen_precision(device: str, compute_type: str, name: str) -> str:
    """The name of the precision; auto is the one that costs no accuracy on that device."""
    if compute_type == "auto":
        return "float32" if device == "CPU" else "float16"
    if compute_type not in PRECISIONS:
        raise ModelUnavailable(
            f"Model {name!r} cannot be loaded: backend openvino computes in auto, "
            f"{', '.join(PRECISIONS)}, not in {compute_type!r}; int8 is a matter of its weights."
        )
    return compute_type


def _options(device: str, precision: str, workers: int) -> dict[str, Any]:
    common: dict[str, Any] = {
        "NUM_STREAMS": workers,
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
    }
    if device != "CPU":
        return common
    return {
        **common,
        "INFERENCE_NUM_THREADS": workers,  # of all streams together: one each
        "ENABLE_CPU_PINNING": False,  # the other threads of this process need cores too
        "KV_CACHE_PRECISION": "f32",
    }


def _parted(decoder: ov.Model, name: str) -> tuple[ov.Model, tuple[str, ...]]:
    """See `parted_cross`; refuses decoders that keep no states, or want what we do not know."""
    inputs = {each for port in decoder.inputs for each in port.get_names()}
    parted = parted_cross(decoder) if "beam_idx" in inputs else None
    if parted is None:
        raise ModelUnavailable(
            f"Model {name!r} cannot be loaded: its decoder keeps no state. Export it again with "
            f"optimum-cli export openvino --task automatic-speech-recognition-with-past, "
            f"without --disable-stateful."
        )
    if unknown := sorted(inputs - INPUTS):
        raise ModelUnavailable(
            f"Model {name!r} cannot be loaded: its decoder has unknown inputs: "
            f"{', '.join(unknown)}."
        )
    return parted


def _not_loaded(files: ModelFiles, error: RuntimeError) -> ModelUnavailable:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = (lines or ["unknown"])[-1].replace(str(files.directory), files.name)
    return ModelUnavailable(f"Model {files.name!r} cannot be loaded: {reason}")
