"""The forms of the OpenAPI document, built from the tables of fields that parse requests."""

from typing import Final

from whisperlive_hybrid.languages import AUTO, LANGUAGES
from whisperlive_hybrid.protocol.forms import LAST_AUDIO_TRACK, FieldNames
from whisperlive_hybrid.protocol.openai.cue_fields import MAX_CUE_VALUE
from whisperlive_hybrid.protocol.openai.request import Granularity, ResponseFormat
from whisperlive_hybrid.text.language import SWITCH_THRESHOLD
from whisperlive_hybrid.types import Task

Schema = dict[str, object]


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _number(low: float, high: float, default: float, description: str) -> Schema:
    return {
        "type": "number",
        "minimum": low,
        "maximum": high,
        "default": default,
        "description": description,
    }


def _integer(description: str) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": MAX_CUE_VALUE, "description": description}


def _object(description: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
    }


def _switch(*, default: bool, description: str) -> Schema:
    return {"type": "boolean", "default": default, "description": description}


_FILTER: Final = _switch(default=True, description="Remove silence before decoding.")

FORM_FIELDS: Final[dict[str, Schema]] = {
    "model": _text("One of /v1/models; the first one if it is not given."),
    "language": {
        "type": "string",
        "enum": [AUTO, *LANGUAGES],
        "default": AUTO,
        "description": "Language of the speech; auto detects it. English names are accepted too.",
    },
    "multilingual": _switch(
        default=False, description="Detect the language again throughout the recording."
    ),
    "language_detection_threshold": _number(
        0, 1, SWITCH_THRESHOLD, "Probability from which the language changes; needs multilingual."
    ),
    "url": {"type": "string", "format": "uri", "description": "URL of the recording."},
    "prompt": _text("Text that the speech might continue; influences spelling and style."),
    "hotwords": _text("Words that are likely to occur."),
    "temperature": _number(0, 1, 0, "First temperature; a rejected text is decoded again hotter."),
    "response_format": {
        "type": "string",
        "enum": [shape.value for shape in ResponseFormat],
        "default": ResponseFormat.JSON.value,
    },
    "stream": _switch(default=False, description="Send the text as events during decoding."),
    "max_line_width": _integer("Characters of a line of srt and vtt; 42."),
    "max_line_count": _integer("Lines of a cue; 2. Needs max_line_width."),
    "max_words_per_line": _integer("Words of a cue."),
    "highlight_words": _switch(
        default=False, description="Show each cue once for each of its words, underlined."
    ),
    "task": {"type": "string", "enum": [task.value for task in Task]},
    "audio_track": {
        "type": "integer",
        "minimum": 0,
        "maximum": LAST_AUDIO_TRACK,
        "description": "Audio track of the file, counted from 0; its default one if not given.",
    },
    "vad_filter": _FILTER,
    "vad": _FILTER,
    "vad_parameters": _object(
        "Settings for the removal of silence.",
        threshold=_number(0.01, 0.99, 0.5, "Probability from which a frame is speech."),
        min_silence_duration_ms=_number(100, 5000, 400, "Silence that ends an utterance."),
        speech_pad_ms=_number(0, 2000, 1000, "Audio kept before speech."),
    ),
    "webhook_url": _text("URL that is called at the end of the job."),
    "chunking_strategy": {
        "oneOf": [
            {"type": "string", "enum": ["auto"]},
            _object(
                "OpenAI's settings for the removal of silence.",
                type={"type": "string", "enum": ["server_vad"]},
                threshold=_number(0, 1, 0.5, "Probability from which a frame is speech."),
                prefix_padding_ms=_number(0, 10_000, 300, "Audio kept before speech."),
                silence_duration_ms=_number(0, 10_000, 200, "Silence that ends an utterance."),
            ),
        ]
    },
}

_LISTS: Final[dict[str, Schema]] = {
    "timestamp_granularities": {
        "type": "string",
        "enum": [granularity.value for granularity in Granularity],
        "description": "Units that get times in verbose_json.",
    },
    "include": {
        "type": "string",
        "enum": ["logprobs"],
        "description": "Needs response_format json.",
    },
    "languages": {
        "type": "string",
        "enum": [AUTO, *LANGUAGES],
        "description": "Candidates among which the language is detected.",
    },
    "keywords": _text("Words that are likely to occur."),
    "urls": _text("URL of a recording, http or https."),
}
"""The entries of lists; `url` is an alias of `urls`."""

_NESTED: Final = ("vad_parameters", "chunking_strategy")


def form_schema(names: FieldNames) -> dict[str, object]:
    """Return the `openapi_extra` of a route for a file and these fields."""
    properties: Schema = {"file": {"type": "string", "format": "binary"}} | _properties(names)
    content = _multipart(_strict_object(properties, "file"), properties)
    return {"requestBody": {"required": True, "content": {"multipart/form-data": content}}}


def _multipart(schema: Schema, properties: Schema) -> Schema:
    nested = [name for name in _NESTED if name in properties]
    encoding = {name: {"contentType": "application/json"} for name in nested}
    return {"schema": schema, "encoding": encoding}


def submission_schema(names: FieldNames) -> dict[str, object]:
    """Return the `openapi_extra` of a route for files, or these fields alone as JSON."""
    properties = _properties(names)
    description = "May be sent several times, also as file[], files or files[]."
    file: Schema = {"file": {"type": "string", "format": "binary", "description": description}}
    content = {
        "multipart/form-data": _multipart(_strict_object(file | properties), properties),
        # JSON usually names a list without brackets, but both spellings are accepted.
        "application/json": {"schema": _strict_object(properties)},
    }
    return {"requestBody": {"required": True, "content": content}}


def query_schema(**parameters: Schema) -> dict[str, object]:
    """Return the `openapi_extra` of a route with these optional query parameters."""
    listed = [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in parameters.items()
    ]
    return {"parameters": listed}


def fields_schema(names: FieldNames, required: str) -> dict[str, object]:
    """Return the `openapi_extra` of a route for these fields, as JSON or as a form."""
    schema = _strict_object(_properties(names), required)
    types = ("application/json", "multipart/form-data", "application/x-www-form-urlencoded")
    content = {media_type: {"schema": schema} for media_type in types}
    return {"requestBody": {"required": True, "content": content}}


def _strict_object(properties: Schema, *required: str) -> Schema:
    # Closed, because the parser of forms refuses unknown fields.
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": [*required]} if required else {})


def _properties(names: FieldNames) -> Schema:
    single = {name: FORM_FIELDS[name] for name in names.single if name in FORM_FIELDS}
    lists = {
        f"{name}[]": {"type": "array", "items": _LISTS[name]}
        for name in names.lists
        if name in _LISTS
    }
    return {**single, **lists}
