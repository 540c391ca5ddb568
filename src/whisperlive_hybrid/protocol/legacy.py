"""The older requests under /transcribe, as deployments before this server documented them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.errors import message_of
from whisperlive_hybrid.protocol.forms import AUDIO_TRACK, LAST_AUDIO_TRACK, FieldNames, Form
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.multilingual import (
    MULTILINGUAL_FIELD,
    MULTILINGUAL_FIELDS,
    THRESHOLD_FIELD,
    switch_threshold,
)
from whisperlive_hybrid.types import DecodeOptions, Language, Segment, Task

Json = dict[str, object]

_OPTIONS: Final = ("language", "task", "model", AUDIO_TRACK, *MULTILINGUAL_FIELDS)

TRANSCRIBE_FIELDS: Final = FieldNames(_OPTIONS)

URL_FIELDS: Final = FieldNames(("url", *_OPTIONS), brings_file=False)


@dataclass(frozen=True, slots=True)
class LegacyRequest:
    """What a client asked for, without its file."""

    model: str
    options: DecodeOptions
    audio_track: int | None = None
    """Counted from 0; None is the file's default one."""


@dataclass(frozen=True, slots=True)
class LegacyRecording:
    """What became of the recording, for the answer."""

    segments: Sequence[Segment]
    language: Language
    duration: float
    speech: float
    """Seconds that were left after silence was cut out."""
    filename: str


def transcribe(given: Iterable[tuple[str, str]], models: ModelNames) -> LegacyRequest:
    """Read the fields; raises `NotFound` for an unknown model and `BadRequest` for nonsense."""
    return _wish(Form.of(given, TRANSCRIBE_FIELDS), models)


def transcribe_url(
    given: Iterable[tuple[str, str]], models: ModelNames
) -> tuple[str, LegacyRequest]:
    """Read the fields of a request for the recording at a URL; raises as `transcribe` does."""
    form = Form.of(given, URL_FIELDS)
    url = form.one("url")
    if url is None:
        raise BadRequest(
            "Give the URL of the recording in the field 'url'.",
            param="url",
            code="missing_required_parameter",
        )
    return url.strip(), _wish(form, models)


def _wish(form: Form, models: ModelNames) -> LegacyRequest:
    model = models.resolve(form.one("model"))
    task = form.choice("task", [each.value for each in Task], Task.TRANSCRIBE.value)
    options = DecodeOptions(
        language=form.language(), task=Task(task), switch_threshold=switch_threshold(form)
    )
    return LegacyRequest(model, options, form.whole(AUDIO_TRACK, 0, LAST_AUDIO_TRACK))


def answer(recording: LegacyRecording, used: DecodeOptions, model: str) -> Json:
    """The documented body; `used` are the options in effect, and `model` is the one that ran."""
    options = asdict(used) | {"task": used.task.value}
    del options["is_guess"], options["checks_language"]  # of single windows only
    threshold = options.pop("switch_threshold")
    options |= {MULTILINGUAL_FIELD: threshold is not None, THRESHOLD_FIELD: threshold}
    return {
        "success": True,
        "segments": [_segment(segment) for segment in recording.segments],
        "info": {
            "language": recording.language.code,
            "language_probability": recording.language.probability,
            "duration": round(recording.duration, 3),
            "duration_after_vad": round(recording.speech, 3),
            "model": model,
            "transcription_options": options,
        },
        "filename": recording.filename,
    }


def error_body(error: Exception) -> Json:
    """Its shape of an error."""
    return {"success": False, "error": message_of(error)}


def _segment(segment: Segment) -> Json:
    return {
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text.strip(),
        "no_speech_prob": segment.no_speech_prob,
        **({} if segment.language is None else {"language": segment.language}),
    }
