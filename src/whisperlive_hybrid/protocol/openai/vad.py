"""How a request wants silence to be cut.

OpenAI's field is `chunking_strategy`; Whisper servers have `vad_filter` (or `vad`) and
`vad_parameters`. Nested values come as one JSON text or as bracketed fields, as in
`vad_parameters[threshold]`: OpenAI's SDKs write every object in the second way.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.forms import Form, invalid_choice, number
from whisperlive_hybrid.protocol.json_limits import BadJson, read_json
from whisperlive_hybrid.protocol.vad_parameters import VAD_PARAMETERS, vad_options
from whisperlive_hybrid.speech.regions import VadOptions

_STRATEGY: Final = "chunking_strategy"
_STRATEGY_PARTS: Final = ("type", "threshold", "prefix_padding_ms", "silence_duration_ms")
_PARAMETERS: Final = "vad_parameters"
_SWITCHES: Final = ("vad_filter", "vad")
_LONGEST: Final = 4096
"""Characters of such an object: four numbers with their names."""
_LONGEST_PADDING_MS: Final = 10_000
"""Bound on paddings: audio before an onset has to be kept in memory while nobody speaks."""


def _with_brackets(name: str, parts: Sequence[str]) -> tuple[str, ...]:
    return (name, *(f"{name}[{part}]" for part in parts))


STRATEGY_FIELDS: Final = _with_brackets(_STRATEGY, _STRATEGY_PARTS)
VAD_FIELDS: Final = (*_SWITCHES, *_with_brackets(_PARAMETERS, VAD_PARAMETERS))


def parse_vad_options(form: Form) -> VadOptions:
    """Read all of these fields; raises `BadRequest`, also for two that contradict each other."""
    enabled = _switch(form)
    strategy = _strategy(form)
    parameters = _parts(form, _PARAMETERS, VAD_PARAMETERS)
    if isinstance(parameters, str):
        raise BadRequest(
            f"Invalid {_PARAMETERS} {parameters[:80]!r}; it must be a JSON object.",
            param=_PARAMETERS,
            code="invalid_value",
        )
    _refuse_contradictions(
        {_STRATEGY: strategy is not None, _PARAMETERS: bool(parameters), "vad_filter": not enabled}
    )
    if strategy is not None:
        return strategy
    return vad_options(partial(_part, _PARAMETERS, parameters), VadOptions(), enabled=enabled)


def _switch(form: Form) -> bool:
    """Whether silence is cut at all."""
    given = {name: form.truth(name) for name in _SWITCHES if form.one(name)}
    if len(set(given.values())) > 1:
        raise BadRequest("vad and vad_filter contradict each other.", param="vad_filter")
    return all(given.values())


def _refuse_contradictions(wishes: dict[str, bool]) -> None:
    wished = [name for name, is_wished in wishes.items() if is_wished]
    if len(wished) > 1:
        raise BadRequest(
            f"Give only one of: {_STRATEGY} server_vad, {_PARAMETERS}, vad_filter=false.",
            param=wished[0],
            code="invalid_value",
        )


def _strategy(form: Form) -> VadOptions | None:
    """OpenAI's numbers for server_vad; None for `auto`, which leaves it to us."""
    parts = _parts(form, _STRATEGY, _STRATEGY_PARTS)
    if isinstance(parts, str):
        parts = {"type": parts}
    kind = parts.get("type", "server_vad" if parts else "auto")
    if kind not in ("auto", "server_vad"):
        raise invalid_choice(_STRATEGY, f"{kind}", ["auto", "server_vad (with its settings)"])
    if kind == "auto":
        _refuse_settings([name for name in parts if name != "type"])
        return None
    part = partial(_part, _STRATEGY, parts)
    return VadOptions(
        threshold=part("threshold", 0.5, 0, 1),
        pre_roll_s=part("prefix_padding_ms", 300, 0, _LONGEST_PADDING_MS) / 1000,
        min_silence_s=part("silence_duration_ms", 200, 0, _LONGEST_PADDING_MS) / 1000,
    )


def _refuse_settings(names: Sequence[str]) -> None:
    """`auto` leaves the cutting to us."""
    if names:
        raise BadRequest(
            f"Invalid {_STRATEGY}: 'auto' takes no settings, but got {', '.join(names)}; they "
            "belong to 'server_vad'.",
            param=_STRATEGY,
            code="invalid_value",
        )


def _part(
    field: str, parts: dict[str, object], name: str, default: float, low: float, high: float
) -> float:
    return number(f"{field}[{name}]", parts.get(name, default), low, high)


def _parts(form: Form, name: str, names: Sequence[str]) -> dict[str, object] | str:
    """An object from JSON or from bracketed fields, {} for none; a bare word as it is."""
    parts: dict[str, object] = {
        part: value for part in names if (value := form.one(f"{name}[{part}]"))
    }
    whole = form.one(name)
    if whole is None:
        return parts
    if parts:
        raise BadRequest(f"Give {name} as one value or as bracketed fields, not both.", param=name)
    return _written(name, whole, names)


def _written(name: str, whole: str, names: Sequence[str]) -> dict[str, object] | str:
    try:
        written = read_json(whole, longest=_LONGEST)
    except BadJson:  # a bare word, or brackets without end
        return whole
    if written is None:
        return {}
    if not isinstance(written, dict):
        return f"{written}"
    for part in written:
        if part not in names:
            raise invalid_choice(name, part, names)
    return {part: value for part, value in written.items() if value is not None}
