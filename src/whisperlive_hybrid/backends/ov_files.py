"""What the JSON files beside an exported OpenVINO Whisper say about it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from whisperlive_hybrid.backends.settings_files import ENGLISH_ONLY_VOCABULARY, read_settings


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
