"""The fields of a request that configure the removal of silence.

OpenAI's field is `chunking_strategy`; Whisper servers have `vad_filter` (or `vad`) and
`vad_parameters`. Nested values are one JSON text or bracketed fields, as in
`vad_parameters[threshold]`: OpenAI's SDKs write every object in the second way.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.forms import Form, invalid_choice, parse_number
from whisperlive_hybrid.protocol.json_limits import BadJson, read_json
from whisperlive_hybrid.protocol.vad_parameters import VAD_PARAMETERS, vad_options
from whisperlive_hybrid.speech.regions import VadOptions

_STRATEGY: Final = "chunking_strategy"
_STRATEGY_PARTS: Final = ("type", "threshold", "prefix_padding_ms", "silence_duration_ms")
_PARAMETERS: Final = "vad_parameters"
_SWITCHES: Final = ("vad_filter", "vad")
_MAX_OBJECT_CHARACTERS: Final = 4096
"""Four numbers with their names need far fewer."""
_MAX_PADDING_MS: Final = 10_000
"""Audio before an onset has to be kept in memory during silence, so paddings are bounded."""


def _with_brackets(name: str, parts: Sequence[str]) -> tuple[str, ...]:
    return (name, *(f"{name}[{part}]" for part in parts))


STRATEGY_FIELDS: Final = _with_brackets(_STRATEGY, _STRATEGY_PARTS)
VAD_FIELDS: Final = (*_SWITCHES, *_with_brackets(_PARAMETERS, VAD_PARAMETERS))


def parse_vad_options(form: Form) -> VadOptions:
    """Parse all of these fields; raise `BadRequest`, also for two that contradict each other."""
    switches = {name: form.boolean(name) for name in _SWITCHES if form.one(name)}
    if len(set(switches.values())) > 1:
        raise BadRequest("vad and vad_filter contradict each other.", param="vad_filter")
    enabled = all(switches.values())
    strategy = _parse_strategy(form)
    parameters = _parts(form, _PARAMETERS, VAD_PARAMETERS)
    if isinstance(parameters, str):
        raise BadRequest(
            f"Invalid {_PARAMETERS} {parameters[:80]!r}; it must be a JSON object.",
            param=_PARAMETERS,
            code="invalid_value",
        )
    given = {
        _STRATEGY: strategy is not None,
        _PARAMETERS: bool(parameters),
        "vad_filter": not enabled,
    }
    exclusive = [name for name, is_given in given.items() if is_given]
    if len(exclusive) > 1:
        raise BadRequest(
            f"Give only one of: {_STRATEGY} server_vad, {_PARAMETERS}, vad_filter=false.",
            param=exclusive[0],
            code="invalid_value",
        )
    if strategy is not None:
        return strategy
    return vad_options(partial(_number, _PARAMETERS, parameters), VadOptions(), enabled=enabled)


def _parse_strategy(form: Form) -> VadOptions | None:
    """Return OpenAI's numbers for server_vad; None for `auto`, which uses the server's own."""
    parts = _parts(form, _STRATEGY, _STRATEGY_PARTS)
    if isinstance(parts, str):
        parts = {"type": parts}
    kind = parts.get("type", "server_vad" if parts else "auto")
    if kind not in ("auto", "server_vad"):
        raise invalid_choice(_STRATEGY, f"{kind}", ["auto", "server_vad (with its settings)"])
    if kind == "auto":
        if settings := [name for name in parts if name != "type"]:
            raise BadRequest(
                f"Invalid {_STRATEGY}: 'auto' takes no settings, but got {', '.join(settings)}; "
                "they belong to 'server_vad'.",
                param=_STRATEGY,
                code="invalid_value",
            )
        return None
    # OpenAI's defaults, because `server_vad` is OpenAI's name; `auto` means this server's.
    number = partial(_number, _STRATEGY, parts)
    return VadOptions(
        threshold=number("threshold", 0.5, 0, 1),
        pre_roll_s=number("prefix_padding_ms", 300, 0, _MAX_PADDING_MS) / 1000,
        min_silence_s=number("silence_duration_ms", 200, 0, _MAX_PADDING_MS) / 1000,
    )


def _number(
    field: str, parts: dict[str, object], name: str, default: float, low: float, high: float
) -> float:
    return parse_number(f"{field}[{name}]", parts.get(name, default), low, high)


def _parts(form: Form, name: str, names: Sequence[str]) -> dict[str, object] | str:
    """Return an object from JSON or from bracketed fields, {} for none; a bare word as it is."""
    parts: dict[str, object] = {
        part: value for part in names if (value := form.one(f"{name}[{part}]"))
    }
    whole = form.one(name)
    if whole is None:
        return parts
    if parts:
        raise BadRequest(f"Give {name} as one value or as bracketed fields, not both.", param=name)
    try:
        parsed = read_json(whole, max_length=_MAX_OBJECT_CHARACTERS)
    except BadJson:  # a bare word, or brackets without end
        return whole
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        return f"{parsed}"
    for part in parsed:
        if part not in names:
            raise invalid_choice(name, part, names)
    return {part: number for part, number in parsed.items() if number is not None}
