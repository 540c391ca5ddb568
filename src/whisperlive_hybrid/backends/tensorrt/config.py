"""The config.json files of a TensorRT-LLM engine directory with a Whisper.

`trtllm-build` writes one beside each engine: the version that built it, the properties of the model
(`pretrained_config`), and the limits of the engine (`build_config`).
"""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from whisperlive_hybrid.backends.whisper.tokens import ENGLISH_ONLY_VOCABULARY
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import read_settings
from whisperlive_hybrid.types import CONTEXT_S

FRAMES_PER_S: Final = 100
"""Mel frames, the unit of an encoder engine's input."""

DTYPES: Final = ("float16", "bfloat16", "float32")
"""The supported types of computation."""

SHORTEST_WINDOW_S: Final = 5.0
"""An engine without room for the text of such a window is refused."""


class Plugins(BaseModel):
    """The layout of an engine's input and cache."""

    model_config = ConfigDict(frozen=True)

    remove_input_padding: bool = False
    paged_kv_cache: bool | None = None
    """Used by older versions; newer ones also have `kv_cache_type`."""


class Build(BaseModel):
    """The limits of an engine."""

    model_config = ConfigDict(frozen=True)

    max_batch_size: int = Field(ge=1)
    max_input_len: int = Field(ge=1)
    max_seq_len: int | None = None
    max_encoder_input_len: int | None = None
    kv_cache_type: str | None = None
    plugin_config: Plugins = Plugins()

    @property
    def is_paged(self) -> bool:
        """Whether the cache is paged."""
        kinds = {None, "PAGED"}
        kind = self.kv_cache_type.upper() if self.kv_cache_type else None
        return self.plugin_config.paged_kv_cache is not False and kind in kinds


class Mapping(BaseModel):
    """The distribution of an engine over GPUs."""

    model_config = ConfigDict(frozen=True)

    world_size: int = 1


class CheckpointConfig(BaseModel):
    """The properties of the model."""

    model_config = ConfigDict(frozen=True)

    architecture: str
    model_type: str = ""
    dtype: str
    vocab_size: int = Field(ge=1)
    max_position_embeddings: int = Field(ge=2)
    n_mels: int | None = None
    mapping: Mapping = Mapping()


class EngineConfig(BaseModel):
    """The config.json of one engine."""

    model_config = ConfigDict(frozen=True)

    version: str
    pretrained_config: CheckpointConfig
    build_config: Build


class EngineSettings:
    """Both files of one directory, checked: the engines can be run as Whisper."""

    def __init__(self, directory: Path, name: str) -> None:
        """Read the files of model `name`; raises `ModelUnavailable` with a reason of one line."""
        self.encoder = read_settings(EngineConfig, directory, "encoder/config.json")
        self.decoder = read_settings(EngineConfig, directory, "decoder/config.json")
        if problem := self._find_model_problem() or self._find_build_problem():
            raise ModelUnavailable(f"Model {name!r} cannot be loaded: {problem}")

    @property
    def version(self) -> str:
        """The version of TensorRT-LLM that built the engines."""
        return self.decoder.version

    @property
    def n_mels(self) -> int:
        """Mel bands of the encoder's input."""
        return self.encoder.pretrained_config.n_mels or 0  # 0 was refused above

    @property
    def dtype(self) -> str:
        """The type of computation, one of `DTYPES`; the weights may be narrower."""
        return self.encoder.pretrained_config.dtype

    @property
    def vocab_size(self) -> int:
        """Tokens of the decoder."""
        return self.decoder.pretrained_config.vocab_size

    @property
    def is_multilingual(self) -> bool:
        """Whether the model has several languages, by the size of its vocabulary as in upstream."""
        return self.vocab_size != ENGLISH_ONLY_VOCABULARY

    @property
    def text_positions(self) -> int:
        """Text positions of the model, prompt included (448)."""
        return self.decoder.pretrained_config.max_position_embeddings

    @property
    def text_room(self) -> int:
        """Text positions of the engine, prompt included."""
        built_for = self.decoder.build_config.max_seq_len or self.text_positions
        return min(built_for, self.text_positions)

    @property
    def takes_prompts(self) -> bool:
        """Whether a prompt of Whisper's full length fits, together with a text of full length.

        Otherwise prompts are refused, because they would have to be cut without a message.
        """
        longest = self.text_positions // 2 + 1  # with the start of transcript
        is_whole = self.text_room == self.text_positions
        return is_whole and self.decoder.build_config.max_input_len >= longest

    @property
    def longest_window_s(self) -> float:
        """The seconds of speech whose text fits into the engine.

        Whisper has half of its positions for the text of 30 s. An engine with fewer gets windows
        that are shorter in proportion, so that no text is cut off.
        """
        # Start of transcript, and language and task if there is a choice.
        n_start = 3 if self.is_multilingual else 1
        share = (self.text_room - n_start) / (self.text_positions // 2)
        return min(CONTEXT_S, CONTEXT_S * share)

    @property
    def max_batch(self) -> int:
        """Windows that both engines take at once."""
        return min(
            self.encoder.build_config.max_batch_size, self.decoder.build_config.max_batch_size
        )

    @property
    def frames(self) -> int:
        """Mel frames of a full context."""
        return 2 * self.encoder.pretrained_config.max_position_embeddings

    def _find_model_problem(self) -> str | None:
        encoder, decoder = self.encoder.pretrained_config, self.decoder.pretrained_config
        is_whisper = encoder.architecture == "WhisperEncoder" and decoder.model_type == "whisper"
        if not is_whisper or not encoder.n_mels:
            return (
                f"it is not a Whisper (encoder {encoder.architecture!r}, "
                f"decoder {decoder.model_type or decoder.architecture!r})."
            )
        if encoder.dtype not in DTYPES:
            return f"it computes in {encoder.dtype!r}, not in one of: {', '.join(DTYPES)}."
        if max(encoder.mapping.world_size, decoder.mapping.world_size) > 1:
            return "it is distributed over several GPUs; build it for one."
        return None

    def _find_build_problem(self) -> str | None:
        encoder, decoder = self.encoder.build_config, self.decoder.build_config
        if self.encoder.version != self.decoder.version:
            return (
                f"its encoder was built with TensorRT-LLM {self.encoder.version}, "
                f"its decoder with {self.decoder.version}."
            )
        packed = encoder.plugin_config.remove_input_padding
        if not (packed and decoder.plugin_config.remove_input_padding and decoder.is_paged):
            return "build it with --remove_input_padding enable and --paged_kv_cache enable."
        max_frames = min(encoder.max_input_len, decoder.max_encoder_input_len or 0)
        if max_frames < self.frames:
            return (
                f"it was built for {max_frames} frames of audio; build the encoder with "
                f"--max_input_len {self.frames} and the decoder with --max_encoder_input_len "
                f"{self.frames}."
            )
        if self.longest_window_s < SHORTEST_WINDOW_S:
            return (
                f"it has room for {self.text_room} tokens only; build the decoder with "
                f"--max_seq_len {self.text_positions}."
            )
        return None
