"""OpenAI's audio requests: form fields to decoding options.

Every field is honoured or refused by name, with two exceptions that clients rely on: `stream`
together with a format that cannot be streamed, and granularities with a format that has no place
for them, are accepted without effect. `languages[]` and `keywords[]` are OpenAI's; `hotwords` is
the older name of keywords among Whisper servers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from whisperlive_hybrid.errors import BadRequest, Unsupported
from whisperlive_hybrid.languages import is_auto_language
from whisperlive_hybrid.protocol.forms import (
    AUDIO_TRACK,
    LAST_AUDIO_TRACK,
    FieldNames,
    Form,
    invalid_choice,
    parse_language,
)
from whisperlive_hybrid.protocol.json_limits import BadJson, read_json
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.multilingual import (
    MULTILINGUAL_FIELD,
    MULTILINGUAL_FIELDS,
    parse_switch_threshold,
)
from whisperlive_hybrid.protocol.openai.cue_fields import HIGHLIGHT_FIELD, LAYOUT_FIELDS, cue_style
from whisperlive_hybrid.protocol.openai.vad import STRATEGY_FIELDS, VAD_FIELDS, parse_vad_options
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.text.cues import CueStyle
from whisperlive_hybrid.types import TEMPERATURES, DecodeOptions, Task

_GRANULARITIES: Final = "timestamp_granularities"
_COMMON: Final = (
    "model",
    "language",
    *MULTILINGUAL_FIELDS,
    "prompt",
    "hotwords",
    "temperature",
    *VAD_FIELDS,
    AUDIO_TRACK,
)
_HARMLESS: Final = ("user",)
_MAX_LIST_CHARACTERS: Final = 1024
"""Of a list in one field; there are only two granularities."""

DECODING_FIELDS: Final = FieldNames(
    (*_COMMON, *STRATEGY_FIELDS),
    (_GRANULARITIES, "languages", "keywords"),
    _HARMLESS,
)
"""The fields of uploads and jobs that say how to decode, apart from the format of the answer."""

TRANSCRIPTION_FIELDS: Final = FieldNames(
    (*DECODING_FIELDS.single, "response_format", "stream", *LAYOUT_FIELDS, HIGHLIGHT_FIELD),
    (*DECODING_FIELDS.lists, "include"),
    _HARMLESS,
    unsupported=("known_speaker_names", "known_speaker_references"),
)
TRANSLATION_FIELDS: Final = FieldNames(
    (*_COMMON, "response_format", *LAYOUT_FIELDS), ("keywords",), _HARMLESS
)
"""OpenAI's, and more with the same meaning as for a transcription."""


class ResponseFormat(Enum):
    """The format of an answer."""

    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VERBOSE_JSON = "verbose_json"
    VTT = "vtt"


STREAMABLE_FORMATS: Final = (ResponseFormat.JSON, ResponseFormat.TEXT)
"""The formats of OpenAI's streaming models; a stream is the same events for both."""


TIMED_FORMATS: Final = (ResponseFormat.VERBOSE_JSON, ResponseFormat.SRT, ResponseFormat.VTT)
"""The formats that hold times."""


class Granularity(Enum):
    """The units that get times in verbose_json."""

    SEGMENT = "segment"
    WORD = "word"


_SEGMENTS_ALONE: Final = frozenset({Granularity.SEGMENT})
"""OpenAI's default."""


@dataclass(frozen=True, slots=True)
class AudioRequest:
    """A request for a transcript, without its file."""

    options: DecodeOptions = field(default_factory=DecodeOptions)
    vad: VadOptions = field(default_factory=VadOptions)
    response_format: ResponseFormat = ResponseFormat.JSON
    granularities: frozenset[Granularity] = _SEGMENTS_ALONE
    model: str = ""
    """One of the server's models; empty where there is no choice."""
    stream: bool = False
    """Send the text while the file is decoded."""
    lists_languages: bool = False
    """Name the spoken languages in the answer."""
    audio_track: int | None = None
    """The audio track to decode, counted from 0; None for the file's default one."""
    cue_style: CueStyle = field(default_factory=CueStyle)
    """The layout of srt and vtt."""


def parse_transcription(given: Iterable[tuple[str, str]], models: ModelNames) -> AudioRequest:
    """Parse the fields of /v1/audio/transcriptions; raise as `parse_decoding` does."""
    form = Form.of(given, TRANSCRIPTION_FIELDS)
    parsed = parse_decoding(form, models, Task.TRANSCRIBE)
    for name in TRANSCRIPTION_FIELDS.unsupported:
        if form.many(name):
            raise Unsupported(f"{name} is not supported: speakers are not separated.", param=name)
    response_format = _parse_response_format(form)
    options, granularities = parsed.options, parsed.granularities
    if response_format is not ResponseFormat.VERBOSE_JSON:
        options, granularities = replace(options, words=False), _SEGMENTS_ALONE
    style = _parse_cue_style(form, response_format, Task.TRANSCRIBE)
    if style.highlight_words:  # the only style that a model without word times cannot serve
        options = replace(options, words=True)
    # LiteLLM asks for verbose_json and passes stream=true on: the answer is then sent as a whole.
    stream = form.boolean("stream") and response_format in STREAMABLE_FORMATS
    return replace(
        parsed,
        options=replace(options, token_probabilities=_parse_logprobs(form, response_format)),
        granularities=granularities,
        response_format=response_format,
        stream=stream,
        cue_style=style,
    )


def parse_translation(given: Iterable[tuple[str, str]], models: ModelNames) -> AudioRequest:
    """Parse the fields of /v1/audio/translations; raise as `parse_decoding` does."""
    form = Form.of(given, TRANSLATION_FIELDS)
    parsed = parse_decoding(form, models, Task.TRANSLATE)
    response_format = _parse_response_format(form)
    style = _parse_cue_style(form, response_format, Task.TRANSLATE)
    return replace(parsed, response_format=response_format, cue_style=style)


def measure_words(options: DecodeOptions, *, is_able: bool) -> DecodeOptions:
    """Return the options for an answer with times: with those of words if the model measures them.

    Whisper's time marks are guesses that may lie seconds from the speech, and in the wrong one of
    two stretches that share a window. Measuring costs base 6 to 9 % more CPU time. A translation
    has no words that could be found in the audio.
    """
    is_measured = is_able and options.task is Task.TRANSCRIBE
    return replace(options, words=options.words or is_measured)


def parse_decoding(form: Form, models: ModelNames, task: Task) -> AudioRequest:
    """Parse everything but the format of the answer, as far as the form has fields for it.

    Raise `NotFound` for a model that the server does not offer, `Unsupported` for a value that
    cannot be honoured, and `BadRequest` for an invalid one.
    """
    model = models.resolve(form.one("model"))
    granularities = _parse_granularities(form)
    language, candidates = _parse_languages(form)
    threshold = parse_switch_threshold(form)
    if threshold is not None and len(candidates) == 1:
        raise BadRequest(
            f"{MULTILINGUAL_FIELD}=true needs several languages, but languages[] is "
            f"{candidates[0]!r} alone.",
            param=MULTILINGUAL_FIELD,
            code="invalid_value",
        )
    hotwords, prompt = form.one("hotwords"), form.one("prompt")
    temperature = form.number("temperature", 0.0, 0.0, 1.0)
    options = DecodeOptions(
        language=language,
        task=task,
        prompt=prompt or "",
        hotwords=", ".join([*([hotwords] if hotwords else []), *form.many("keywords")]),
        # A text that is rejected is retried hotter, whatever the first temperature.
        temperatures=(temperature, *(hotter for hotter in TEMPERATURES if hotter > temperature)),
        candidates=candidates,
        switch_threshold=threshold,
        words=Granularity.WORD in granularities,
    )
    return AudioRequest(
        options,
        parse_vad_options(form),
        granularities=granularities,
        model=model,
        lists_languages=bool(form.many("languages")) or threshold is not None,
        audio_track=form.integer(AUDIO_TRACK, 0, LAST_AUDIO_TRACK),
    )


def _parse_cue_style(form: Form, response_format: ResponseFormat, task: Task) -> CueStyle:
    return cue_style(form, response_format.value, task, format_field="response_format")


def _parse_logprobs(form: Form, response_format: ResponseFormat) -> bool:
    """Return whether probabilities of tokens are requested; json alone has a place for them."""
    included = form.many("include")
    for value in included:
        if value != "logprobs":
            raise invalid_choice("include", value, ["logprobs"])
    if included and response_format is not ResponseFormat.JSON:
        raise Unsupported(
            f"include[]=logprobs needs response_format 'json', not {response_format.value!r}.",
            param="include",
        )
    return bool(included)


def _parse_languages(form: Form) -> tuple[str | None, tuple[str, ...]]:
    """Return the language, None to detect it, and the entries of `languages[]` as candidates."""
    code = form.language()
    written = form.many("languages")
    listed = dict.fromkeys(
        parse_language(entry, "languages") for entry in written if not is_auto_language(entry)
    )
    if any(map(is_auto_language, written)):
        return code, ()  # "auto" admits every language, so the entries beside it narrow nothing
    if code and listed and code not in listed:
        raise BadRequest(
            f"language {code!r} and languages[] {', '.join(listed)} contradict each other.",
            param="languages",
            code="invalid_value",
        )
    only = next(iter(listed)) if len(listed) == 1 else None
    return code or only, tuple(listed)


def _parse_response_format(form: Form) -> ResponseFormat:
    formats = [response_format.value for response_format in ResponseFormat]
    if form.one("response_format") == "diarized_json":
        raise Unsupported(
            "response_format 'diarized_json' is not supported; "
            f"it must be one of: {', '.join(formats)}.",
            param="response_format",
        )
    return ResponseFormat(form.choice("response_format", formats, ResponseFormat.JSON.value))


def _parse_granularities(form: Form) -> frozenset[Granularity]:
    """Parse a repeated field, or one that holds a JSON list or words with commas between them."""
    name, allowed = _GRANULARITIES, [granularity.value for granularity in Granularity]
    values: list[str] = []
    for written in form.many(name):
        if not written.strip().startswith("["):
            values += [word.strip() for word in written.split(",") if word.strip()]
            continue
        try:
            entries = read_json(written, max_length=_MAX_LIST_CHARACTERS)
        except BadJson as error:
            raise BadRequest(
                f"{name} {error.message}.", param=name, code="invalid_value"
            ) from error
        values += map(str, entries) if isinstance(entries, list) else [written]
    for value in values:
        if value not in allowed:
            raise invalid_choice(name, value, allowed)
    return frozenset(map(Granularity, values)) or _SEGMENTS_ALONE
