"""What the config.json files of a TensorRT-LLM engine directory say about a Whisper.

`trtllm-build` writes one beside each engine: the version that built it, what the checkpoint said
about the model (`pretrained_config`), and what the engine was built for (`build_config`).
"""

from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.types import CONTEXT_S

ENGLISH_ONLY_VOCABULARY = 51864
"""openai/whisper: one token fewer than the multilingual models."""

M = TypeVar("M", bound=BaseModel)


def read_settings(kind: type[M], directory: Path, name: str) -> M:
    """Read file `name` of a model; raises `ModelUnavailable` with one line about that name."""
    file = directory / name
    if not file.is_file():
        raise ModelUnavailable(f"The model directory has no {name}.")
    try:
        return kind.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = f"{where}: {first['msg']}" if where else first["msg"]
        raise ModelUnavailable(f"The model's {name} is wrong: {problem}.") from error


FRAMES_PER_S: Final = 100
"""Mel frames, in which an encoder engine counts its input."""

DTYPES: Final = ("float16", "bfloat16", "float32")
"""In which an engine may have been built to compute."""

SHORTEST_WINDOW_S: Final = 5.0
"""An engine whose answers have no room for such a window is of no use."""


class Plugins(BaseModel):
    """How an engine lays out its input and its cache."""

    model_config = ConfigDict(frozen=True)

    remove_input_padding: bool = False
    paged_kv_cache: bool | None = None
    """Older versions say it here, newer ones also in `kv_cache_type`."""


class Build(BaseModel):
    """What an engine was built for."""

    model_config = ConfigDict(frozen=True)

    max_batch_size: int = Field(ge=1)
    max_input_len: int = Field(ge=1)
    max_seq_len: int | None = None
    max_encoder_input_len: int | None = None
    kv_cache_type: str | None = None
    plugin_config: Plugins = Plugins()

    @property
    def is_paged(self) -> bool:
        """Whether the cache is in pages."""
        kinds = {None, "PAGED"}
        kind = self.kv_cache_type.upper() if self.kv_cache_type else None
        return self.plugin_config.paged_kv_cache is not False and kind in kinds


class Mapping(BaseModel):
    """Over how many GPUs an engine is spread."""

    model_config = ConfigDict(frozen=True)

    world_size: int = 1


class Checkpoint(BaseModel):
    """The model itself."""

    model_config = ConfigDict(frozen=True)

    architecture: str
    model_type: str = ""
    dtype: str
    vocab_size: int = Field(ge=1)
    max_position_embeddings: int = Field(ge=2)
    n_mels: int | None = None
    mapping: Mapping = Mapping()


class EngineConfig(BaseModel):
    """One config.json."""

    model_config = ConfigDict(frozen=True)

    version: str
    pretrained_config: Checkpoint
    build_config: Build


class EngineSettings:
    """Both files of one directory, checked: what passes can be run as Whisper."""

    def __init__(self, directory: Path, name: str) -> None:
        """Raises `ModelUnavailable` with one line that says what about model `name` is wrong."""
        self.encoder = read_settings(EngineConfig, directory, "encoder/config.json")
        self.decoder = read_settings(EngineConfig, directory, "decoder/config.json")
        if problem := self._problem():
            raise ModelUnavailable(f"Model {name!r} cannot be loaded: {problem}")

    @property
    def version(self) -> str:
        """The TensorRT-LLM that built the engines."""
        return self.decoder.version

    @property
    def n_mels(self) -> int:
        """Mel bands that the encoder reads."""
        return self.encoder.pretrained_config.n_mels or 0  # 0 has been refused

    @property
    def dtype(self) -> str:
        """In which it computes, one of `DTYPES`; its weights may be narrower."""
        return self.encoder.pretrained_config.dtype

    @property
    def vocab_size(self) -> int:
        """Tokens that the decoder knows."""
        return self.decoder.pretrained_config.vocab_size

    @property
    def is_multilingual(self) -> bool:
        """By the size of the vocabulary, as upstream tells it."""
        return self.vocab_size != ENGLISH_ONLY_VOCABULARY

    @property
    def text_positions(self) -> int:
        """Tokens that the model could write, prompt included (448)."""
        return self.decoder.pretrained_config.max_position_embeddings

    @property
    def text_room(self) -> int:
        """Tokens that the engine was built for, prompt included."""
        built_for = self.decoder.build_config.max_seq_len or self.text_positions
        return min(built_for, self.text_positions)

    @property
    def takes_prompts(self) -> bool:
        """Whether a prompt of Whisper's full length fits, with the answer that it leaves room for.

        With less, prompts would have to be cut, of which nobody would hear.
        """
        longest = self.text_positions // 2 + 1  # with the start of transcript
        is_whole = self.text_room == self.text_positions
        return is_whole and self.decoder.build_config.max_input_len >= longest

    @property
    def longest_window_s(self) -> float:
        """Seconds of speech for whose text the engine has room.

        Whisper allows half of its positions for the text of 30 s; an engine with fewer is given
        windows that are shorter in proportion, so that no text is cut off.
        """
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

    def _problem(self) -> str | None:
        return self._wrong_model() or self._wrong_build()

    def _wrong_model(self) -> str | None:
        encoder, decoder = self.encoder.pretrained_config, self.decoder.pretrained_config
        is_whisper = encoder.architecture == "WhisperEncoder" and decoder.model_type == "whisper"
        if not is_whisper or not encoder.n_mels:
            return (
                f"it is no Whisper (encoder {encoder.architecture!r}, "
                f"decoder {decoder.model_type or decoder.architecture!r})."
            )
        if encoder.dtype not in DTYPES:
            return f"it computes in {encoder.dtype!r}, not in one of: {', '.join(DTYPES)}."
        if max(encoder.mapping.world_size, decoder.mapping.world_size) > 1:
            return "it is spread over several GPUs; build it for one."
        return None

    def _wrong_build(self) -> str | None:
        encoder, decoder = self.encoder.build_config, self.decoder.build_config
        if self.encoder.version != self.decoder.version:
            return (
                f"its encoder was built with TensorRT-LLM {self.encoder.version}, "
                f"its decoder with {self.decoder.version}."
            )
        packed = encoder.plugin_config.remove_input_padding
        if not (packed and decoder.plugin_config.remove_input_padding and decoder.is_paged):
            return "build it with --remove_input_padding enable and --paged_kv_cache enable."
        heard = min(encoder.max_input_len, decoder.max_encoder_input_len or 0)
        if heard < self.frames:
            return (
                f"it was built for {heard} frames of audio; build the encoder with --max_input_len "
                f"{self.frames} and the decoder with --max_encoder_input_len {self.frames}."
            )
        if self.longest_window_s < SHORTEST_WINDOW_S:
            return (
                f"it has room for {self.text_room} tokens only; build the decoder with "
                f"--max_seq_len {self.text_positions}."
            )
        return None
