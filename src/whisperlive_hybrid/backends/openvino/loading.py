"""The loading of an exported Whisper: its files, the changes to its graphs, compilation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import openvino as ov
from pydantic import BaseModel, ConfigDict, Field

from whisperlive_hybrid.backends.openvino.decoder import INPUTS, OvDecoder
from whisperlive_hybrid.backends.openvino.graph import (
    add_attention_outputs,
    allow_any_length,
    select_positions,
    share_kv,
    split_cross_attention,
)
from whisperlive_hybrid.backends.whisper.tokens import ENGLISH_ONLY_VOCABULARY
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import ModelFiles, read_settings


class ExportedConfig(BaseModel):
    """The fields of config.json that are needed to run the graphs."""

    model_config = ConfigDict(frozen=True)

    num_mel_bins: int = Field(ge=1)
    decoder_layers: int = Field(ge=1)
    decoder_attention_heads: int = Field(ge=1)
    max_target_positions: int = Field(ge=2)
    vocab_size: int = Field(ge=1)


class ExportedGeneration(BaseModel):
    """The fields of generation_config.json that are used; older exports lack some."""

    model_config = ConfigDict(frozen=True)

    is_multilingual: bool | None = None
    alignment_heads: tuple[tuple[int, int], ...] | None = None
    """(layer, head) pairs whose attention follows the speech."""


class ExportedSettings:
    """The settings files of one directory."""

    def __init__(self, directory: Path) -> None:
        """Read the files; raises `ModelUnavailable` if one is missing or invalid."""
        self.config = read_settings(ExportedConfig, directory, "config.json")
        name = "generation_config.json"
        has_generation = (directory / name).is_file()
        self._generation = (
            read_settings(ExportedGeneration, directory, name) if has_generation else None
        )

    @property
    def is_multilingual(self) -> bool:
        """The value in the file, or a guess from the size of the vocabulary."""
        stated = self._generation.is_multilingual if self._generation else None
        return stated if stated is not None else self.config.vocab_size != ENGLISH_ONLY_VOCABULARY

    @property
    def alignment_heads(self) -> dict[int, tuple[int, ...]]:
        """Heads by layer; without any in the file all of the upper half, as in openai/whisper."""
        stated = self._generation.alignment_heads if self._generation else None
        layers, heads = self.config.decoder_layers, self.config.decoder_attention_heads
        upper = [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]
        pairs = sorted(stated or upper)
        return {layer: tuple(h for other, h in pairs if other == layer) for layer, _ in pairs}


PRECISIONS: Final = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""The types of computation; the weights keep the type of their export."""


class Devices(Protocol):
    """The part of `openvino.Core` that lists the devices."""

    @property
    def available_devices(self) -> list[str]:
        """Names such as CPU, GPU.0, GPU.1."""


@dataclass(frozen=True, slots=True)
class OvModels:
    """The compiled graphs of one Whisper."""

    encoder: ov.CompiledModel
    any_length: bool
    """Whether the encoder takes other lengths than 30 s."""
    cross: ov.CompiledModel
    """Computes the cross-attention's keys and values, once per call."""
    cross_names: tuple[str, ...]
    decoder: ov.CompiledModel
    aligner: ov.CompiledModel | None
    """The decoder with attention scores as outputs; None if its structure is unknown."""
    device: str
    compute_type: str

    def new_decoder(self) -> OvDecoder:
        """Return a decoder for one call at a time."""
        return self._new_requests(self.decoder)

    def new_aligner(self) -> OvDecoder:
        """Return a decoder with attention outputs; only if there is an aligner."""
        return self._new_requests(self.aligner)

    def _new_requests(self, compiled: ov.CompiledModel) -> OvDecoder:
        requests = self.cross.create_infer_request(), compiled.create_infer_request()
        return OvDecoder(*requests, self.cross_names)


def load_models(
    files: ModelFiles, settings: ExportedSettings, device: str, compute_type: str, workers: int
) -> OvModels:
    """Read, change and compile both graphs; raises `ModelUnavailable`."""
    core = ov.Core()
    chosen = choose_device(core, device, files.name)
    precision = choose_precision(chosen, compute_type, files.name)
    options = make_options(chosen, precision, workers)
    try:
        encoder = core.read_model(files.directory / "openvino_encoder_model.xml")
        decoder = core.read_model(files.directory / "openvino_decoder_model.xml")
        cross, cross_names = _split_decoder(decoder, files.name)
        flexible = allow_any_length(encoder)
        select_positions(decoder)
        aligner = decoder.clone()  # before `share_kv`: alignment has one row for each item
        has_attention = add_attention_outputs(
            aligner, settings.alignment_heads, settings.config.decoder_layers
        )
        share_kv(decoder)
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
        # OpenVINO's messages begin with a place in its source and end with the reason.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines or ["unknown"])[-1].replace(str(files.directory), files.name)
        raise ModelUnavailable(f"Model {files.name!r} cannot be loaded: {reason}") from error


def choose_device(core: Devices, device: str, name: str) -> str:
    """Return OpenVINO's name of the device; raises `ModelUnavailable`.

    Its GPU is Intel's. "auto" never selects it, since it is untested.
    """
    # Several GPUs are GPU.0, GPU.1 and so on; the name without a number means the first.
    present = {name.split(".")[0] for name in core.available_devices}
    chosen = {"auto": "CPU", "cpu": "CPU", "gpu": "GPU"}.get(device)
    if chosen is None or chosen not in present:
        raise ModelUnavailable(
            f"Model {name!r} cannot be loaded: backend openvino runs on cpu or gpu (Intel's), not "
            f"on {device!r}; this machine has {', '.join(sorted(present)).lower()}."
        )
    return chosen


def choose_precision(device: str, compute_type: str, name: str) -> str:
    """Return the name of the precision; auto is the one that loses no accuracy on that device."""
    if compute_type == "auto":
        return "float32" if device == "CPU" else "float16"
    if compute_type not in PRECISIONS:
        raise ModelUnavailable(
            f"Model {name!r} cannot be loaded: backend openvino computes in auto, "
            f"{', '.join(PRECISIONS)}, not in {compute_type!r}; only its weights can be int8."
        )
    return compute_type


def make_options(device: str, precision: str, workers: int) -> dict[str, Any]:
    """Return OpenVINO's options for one stream per worker."""
    options: dict[str, Any] = {
        "NUM_STREAMS": workers,
        # By default some processors compute in bfloat16: other texts on other machines.
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
    }
    if device == "CPU":
        options |= {
            "INFERENCE_NUM_THREADS": workers,  # of all streams together: one per stream
            "ENABLE_CPU_PINNING": False,  # the other threads of this process need cores too
            "KV_CACHE_PRECISION": "f32",  # with 8 bits a result depends on the batch
        }
    return options


def _split_decoder(decoder: ov.Model, name: str) -> tuple[ov.Model, tuple[str, ...]]:
    """Call `split_cross_attention`; raises `ModelUnavailable` for decoders of another kind."""
    inputs = {input_name for port in decoder.inputs for input_name in port.get_names()}
    split = split_cross_attention(decoder) if "beam_idx" in inputs else None
    if split is None:
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
    return split
