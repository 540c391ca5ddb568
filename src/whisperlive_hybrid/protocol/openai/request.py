"""OpenAI's audio requests: form fields to decoding options.

Every field is honoured or refused by name, but for two habits of clients: `stream` together with a
format that cannot be streamed, and granularities with a format that has no place for them are
accepted without effect. `languages[]` and `keywords[]` are OpenAI's; `hotwords` is the older name
of keywords among Whisper servers.
"""

from collections.abc import Iterable, Sequence
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
    switch_threshold,
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
_LONGEST_LIST: Final = 1024
"""Characters of a list in one field: there are two granularities."""

DECODING_FIELDS: Final = FieldNames(
    (*_COMMON, *STRATEGY_FIELDS),
    (_GRANULARITIES, "languages", "keywords"),
    _HARMLESS,
)
"""How a recording is read, whichever way it comes and whatever is written about it."""

TRANSCRIPTION_FIELDS: Final = FieldNames(
    (*DECODING_FIELDS.single, "response_format", "stream", *LAYOUT_FIELDS, HIGHLIGHT_FIELD),
    (*DECODING_FIELDS.lists, "include"),
    _HARMLESS,
    refused=("known_speaker_names", "known_speaker_references"),
)
TRANSLATION_FIELDS: Final = FieldNames(
    (*_COMMON, "response_format", *LAYOUT_FIELDS), ("keywords",), _HARMLESS
)
"""OpenAI's, and more that mean the same as for a transcription."""


class ResponseFormat(Enum):
    """The shapes of an answer."""

    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VERBOSE_JSON = "verbose_json"
    VTT = "vtt"


STREAMABLE_FORMATS: Final = (ResponseFormat.JSON, ResponseFormat.TEXT)
"""The formats of OpenAI's streaming models; a stream is the same events for both."""


TIMED_FORMATS: Final = (ResponseFormat.VERBOSE_JSON, ResponseFormat.SRT, ResponseFormat.VTT)
"""The formats that say when something was said."""


class Granularity(Enum):
    """What gets times in verbose_json."""

    SEGMENT = "segment"
    WORD = "word"


_SEGMENTS_ALONE: Final = frozenset({Granularity.SEGMENT})
"""OpenAI's default."""


@dataclass(frozen=True, slots=True)
class AudioRequest:
    """What a client asked for, without its file."""

    options: DecodeOptions = field(default_factory=DecodeOptions)
    vad: VadOptions = field(default_factory=VadOptions)
    response_format: ResponseFormat = ResponseFormat.JSON
    granularities: frozenset[Granularity] = _SEGMENTS_ALONE
    model: str = ""
    """Which of the server's models; empty where there is no choice."""
    stream: bool = False
    """Whether the text is sent while the file is being read."""
    tells_languages: bool = False
    """Whether the answer says which languages were heard."""
    audio_track: int | None = None
    """Which audio track of the file to read, counted from 0; None is the file's default one."""
    cue_style: CueStyle = field(default_factory=CueStyle)
    """How srt and vtt are cut."""


def parse_transcription(given: Iterable[tuple[str, str]], models: ModelNames) -> AudioRequest:
    """Read the fields of /v1/audio/transcriptions; raise as `parse_decoding` does."""
    form = Form.of(given, TRANSCRIPTION_FIELDS)
    read = parse_decoding(form, models, Task.TRANSCRIBE)
    _refuse_speakers(form)
    response_format = _response_format(form)
    if response_format is not ResponseFormat.VERBOSE_JSON:
        unmeasured = replace(read.options, words=False)
        read = replace(read, options=unmeasured, granularities=_SEGMENTS_ALONE)
    style = _cue_style(form, response_format, Task.TRANSCRIBE)
    if style.highlight_words:  # the only style that a model without word times cannot serve
        read = replace(read, options=replace(read.options, words=True))
    # LiteLLM asks for verbose_json and passes stream=true on: the answer is then sent as a whole.
    stream = form.truth("stream") and response_format in STREAMABLE_FORMATS
    options = replace(read.options, token_probabilities=_logprobs(form, response_format))
    return replace(
        read,
        options=options,
        response_format=response_format,
        stream=stream,
        cue_style=style,
    )


def parse_translation(given: Iterable[tuple[str, str]], models: ModelNames) -> AudioRequest:
    """Read the fields of /v1/audio/translations; raises as `parse_decoding` does."""
    form = Form.of(given, TRANSLATION_FIELDS)
    read = parse_decoding(form, models, Task.TRANSLATE)
    response_format = _response_format(form)
    style = _cue_style(form, response_format, Task.TRANSLATE)
    return replace(read, response_format=response_format, cue_style=style)


def measure_words(options: DecodeOptions, *, is_able: bool) -> DecodeOptions:
    """The options for an answer with times: those of words, if the model is able to measure them.

    Whisper's time marks are guesses that may lie seconds from the speech, and in the wrong one of
    two stretches that share a window. Measuring costs base 6 to 9 % more CPU time. A translation
    has no words that could be found in the audio.
    """
    is_measured = is_able and options.task is Task.TRANSCRIBE
    return replace(options, words=options.words or is_measured)


def parse_decoding(form: Form, models: ModelNames, task: Task) -> AudioRequest:
    """All but the format of the answer, as far as the form has fields for it.

    Raises `NotFound` for a model that the server does not offer, `Unsupported` for a wish that
    cannot be honoured, and `BadRequest` for one that makes no sense.
    """
    model = models.resolve(form.one("model"))
    granularities = _granularities(form)
    language, candidates = _languages(form)
    threshold = switch_threshold(form)
    if threshold is not None and len(candidates) == 1:
        raise BadRequest(
            f"{MULTILINGUAL_FIELD}=true needs several languages, but languages[] is "
            f"{candidates[0]!r} alone.",
            param=MULTILINGUAL_FIELD,
            code="invalid_value",
        )
    words = Granularity.WORD in granularities
    options = replace(
        _options(form, task, language),
        candidates=candidates,
        switch_threshold=threshold,
        words=words,
    )
    return AudioRequest(
        options,
        parse_vad_options(form),
        granularities=granularities,
        model=model,
        tells_languages=bool(form.many("languages")) or threshold is not None,
        audio_track=form.whole(AUDIO_TRACK, 0, LAST_AUDIO_TRACK),
    )


def _cue_style(form: Form, response_format: ResponseFormat, task: Task) -> CueStyle:
    return cue_style(form, response_format.value, task, format_field="response_format")


def _refuse_speakers(form: Form) -> None:
    """Nobody tells speakers apart yet."""
    for name in TRANSCRIPTION_FIELDS.refused:
        if form.many(name):
            raise Unsupported(f"{name} is not supported: speakers are not told apart.", param=name)


def _logprobs(form: Form, response_format: ResponseFormat) -> bool:
    """Whether probabilities of tokens are wanted; json alone has a place for them."""
    wishes = form.many("include")
    for wish in wishes:
        if wish != "logprobs":
            raise invalid_choice("include", wish, ["logprobs"])
    if wishes and response_format is not ResponseFormat.JSON:
        raise Unsupported(
            f"include[]=logprobs needs response_format 'json', not {response_format.value!r}.",
            param="include",
        )
    return bool(wishes)


def _options(form: Form, task: Task, language: str | None) -> DecodeOptions:
    hotwords = form.one("hotwords")
    return DecodeOptions(
        language=language,
        task=task,
        prompt=form.one("prompt") or "",
        hotwords=", ".join([*([hotwords] if hotwords else []), *form.many("keywords")]),
        temperatures=_temperatures(form.number("temperature", 0.0, 0.0, 1.0)),
    )


def _temperatures(first: float) -> tuple[float, ...]:
    """Begin at `first`; a text that is not believed is tried hotter, as at 0."""
    return (first, *(hotter for hotter in TEMPERATURES if hotter > first))


def _languages(form: Form) -> tuple[str | None, tuple[str, ...]]:
    """The language, None to detect it, and the entries of `languages[]` to detect it among."""
    code = form.language()
    written = form.many("languages")
    listed = dict.fromkeys(
        parse_language(each, "languages") for each in written if not is_auto_language(each)
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


def _response_format(form: Form) -> ResponseFormat:
    formats = [each.value for each in ResponseFormat]
    if form.one("response_format") == "diarized_json":
        raise Unsupported(
            "response_format 'diarized_json' is not supported; "
            f"it must be one of: {', '.join(formats)}.",
            param="response_format",
        )
    return ResponseFormat(form.choice("response_format", formats, ResponseFormat.JSON.value))


def _granularities(form: Form) -> frozenset[Granularity]:
    """What gets times: a repeated field, or one with a JSON list or with commas in it."""
    name, known = _GRANULARITIES, [each.value for each in Granularity]
    asked = [each for written in form.many(name) for each in _entries(name, written)]
    for value in asked:
        if value not in known:
            raise invalid_choice(name, value, known)
    return frozenset(map(Granularity, asked)) or _SEGMENTS_ALONE


def _entries(name: str, written: str) -> Sequence[str]:
    """Split one field of a list that a client wrote as a JSON list or with commas."""
    if not written.strip().startswith("["):
        return [each.strip() for each in written.split(",") if each.strip()]
    try:
        entries = read_json(written, longest=_LONGEST_LIST)
    except BadJson as error:
        raise BadRequest(f"{name} {error.message}.", param=name, code="invalid_value") from error
    return [str(each) for each in entries] if isinstance(entries, list) else [written]
