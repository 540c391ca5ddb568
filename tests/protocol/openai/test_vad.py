import json

import pytest

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.forms import FieldNames, Form
from whisperlive_hybrid.protocol.openai.vad import STRATEGY_FIELDS, VAD_FIELDS, parse_vad_options
from whisperlive_hybrid.speech.regions import VadOptions

NAMES = FieldNames((*STRATEGY_FIELDS, *VAD_FIELDS))


def ask(*fields: tuple[str, str]) -> VadOptions:
    """Read these fields."""
    return parse_vad_options(Form.of(fields, NAMES))


def spelled(name: str, value: dict[str, object]) -> list[list[tuple[str, str]]]:
    """An object as real clients write it: one JSON text, or a field for each of its parts."""
    return [
        [(name, json.dumps(value))],
        [(f"{name}[{part}]", str(each)) for part, each in value.items()],
    ]


@pytest.mark.parametrize(
    "fields",
    spelled(
        "chunking_strategy", {"type": "server_vad", "threshold": 0.6, "prefix_padding_ms": 100}
    ),
    ids=["JSON", "brackets"],
)
def test_server_vad_sets_the_cutting_of_silence(fields: list[tuple[str, str]]) -> None:
    """Both spellings mean the same; what is left out is OpenAI's default."""
    assert ask(*fields) == VadOptions(threshold=0.6, pre_roll_s=0.1, min_silence_s=0.2)


@pytest.mark.parametrize(
    "fields",
    spelled("vad_parameters", {"threshold": 0.6, "speech_pad_ms": 100}),
    ids=["JSON", "brackets"],
)
def test_vad_parameters_are_those_of_the_live_door(fields: list[tuple[str, str]]) -> None:
    """Both spellings mean the same; what is left out is our own default."""
    assert ask(*fields) == VadOptions(threshold=0.6, pre_roll_s=0.1)


@pytest.mark.parametrize(
    "field",
    ["chunking_strategy[silence_duration_ms]", "vad_parameters[min_silence_duration_ms]"],
)
def test_the_silence_that_ends_a_window_is_the_clients(field: str) -> None:
    """In either way of saying it."""
    assert ask((field, "1500")).min_silence_s == 1.5


@pytest.mark.parametrize("written", ["auto", '"auto"', '{"type": "auto"}', "null", ""])
def test_auto_is_our_own_cutting(written: str) -> None:
    """`auto` leaves it to the server, as does saying nothing."""
    assert ask(("chunking_strategy", written)) == VadOptions()
    assert ask(("vad_filter", "true"), ("chunking_strategy", written)) == VadOptions()


@pytest.mark.parametrize("name", ["vad_filter", "vad"])
def test_silence_may_be_read_too(name: str) -> None:
    """Both names are in use among Whisper servers."""
    assert ask((name, "false")) == VadOptions(enabled=False)
    assert ask((name, "True")) == VadOptions()


@pytest.mark.parametrize(
    "fields",
    [
        [("vad_filter", "false"), ("vad", "true")],
        [("vad_filter", "false"), ("vad_parameters[threshold]", "0.6")],
        [("vad_filter", "false"), ("chunking_strategy[type]", "server_vad")],
        [("vad_parameters[threshold]", "0.6"), ("chunking_strategy[type]", "server_vad")],
        [("chunking_strategy", "auto"), ("chunking_strategy[threshold]", "0.5")],
        [("chunking_strategy[type]", "auto"), ("chunking_strategy[threshold]", "0.5")],
        [("vad_parameters", "{}"), ("vad_parameters[threshold]", "0.5")],
    ],
)
def test_contradictions_are_refused(fields: list[tuple[str, str]]) -> None:
    """One of the two fields would be ignored."""
    with pytest.raises(BadRequest) as e:
        ask(*fields)
    assert e.value.param in {"vad_filter", "vad_parameters", "chunking_strategy"}


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("chunking_strategy", "manual", "auto, server_vad"),
        ("chunking_strategy[threshold]", "1.5", "from 0 to 1"),
        ("chunking_strategy[silence_duration_ms]", "-1", "from 0 to 10000"),
        ("chunking_strategy", '{"type":"auto","threshold":0.5}', "no settings, but got threshold"),
        ("chunking_strategy", '{"type":"server_vad","volume":1}', "threshold"),
        ("chunking_strategy", '{"type":"server_vad","threshold":true}', "from 0 to 1"),
        ("chunking_strategy", "[" * 60_000, "auto, server_vad"),
        ("vad_filter", "perhaps", "true, false"),
        ("vad_parameters", "0.5", "a JSON object"),
        ("vad_parameters", "[" * 60_000, "a JSON object"),
        ("vad_parameters", '{"min_speech_duration_ms":250}', "speech_pad_ms"),
        ("vad_parameters", '{"threshold":"high"}', "from 0.01 to 0.99"),
        ("vad_parameters[speech_pad_ms]", "nan", "from 0 to 2000"),
        ("vad_parameters[min_silence_duration_ms]", "1e9", "from 100 to 5000"),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(field: str, value: str, allowed: str) -> None:
    """The message names the field and the allowed set, and repeats no endless value."""
    with pytest.raises(BadRequest, match=allowed) as e:
        ask((field, value))
    assert e.value.code == "invalid_value"
    assert (e.value.param or "").startswith(field.split("[", maxsplit=1)[0])
    assert len(e.value.message) < 300
