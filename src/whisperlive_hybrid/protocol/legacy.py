"""The requests and answers of /transcribe, as deployments before this server documented them."""

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
    parse_switch_threshold,
)
from whisperlive_hybrid.types import DecodeOptions, Language, Segment, Task

Json = dict[str, object]

_OPTIONS: Final = ("language", "task", "model", AUDIO_TRACK, *MULTILINGUAL_FIELDS)

TRANSCRIBE_FIELDS: Final = FieldNames(_OPTIONS)

URL_FIELDS: Final = FieldNames(("url", *_OPTIONS), has_file=False)


@dataclass(frozen=True, slots=True)
class LegacyRequest:
    """A request without its file."""

    model: str
    options: DecodeOptions
    audio_track: int | None = None
    """Counted from 0; None for the file's default one."""


@dataclass(frozen=True, slots=True)
class LegacyTranscript:
    """A transcript and the facts about its recording that the answer holds."""

    segments: Sequence[Segment]
    language: Language
    duration: float
    speech: float
    """Seconds that remained after the removal of silence."""
    filename: str


def parse_request(given: Iterable[tuple[str, str]], models: ModelNames) -> LegacyRequest:
    """Parse the fields; raise `NotFound` for an unknown model, `BadRequest` for a bad value."""
    return _parse_options(Form.of(given, TRANSCRIBE_FIELDS), models)


def parse_url_request(
    given: Iterable[tuple[str, str]], models: ModelNames
) -> tuple[str, LegacyRequest]:
    """Parse the fields of a request for a recording at a URL; raise as `parse_request` does."""
    form = Form.of(given, URL_FIELDS)
    url = form.one("url")
    if url is None:
        raise BadRequest(
            "Give the URL of the recording in the field 'url'.",
            param="url",
            code="missing_required_parameter",
        )
    # A pasted URL may have blanks around it.
    return url.strip(), _parse_options(form, models)


def _parse_options(form: Form, models: ModelNames) -> LegacyRequest:
    model = models.resolve(form.one("model"))
    task = form.choice("task", [task.value for task in Task], Task.TRANSCRIBE.value)
    options = DecodeOptions(
        language=form.language(), task=Task(task), switch_threshold=parse_switch_threshold(form)
    )
    return LegacyRequest(model, options, form.integer(AUDIO_TRACK, 0, LAST_AUDIO_TRACK))


def render_transcript(transcript: LegacyTranscript, used: DecodeOptions, model: str) -> Json:
    """Return the documented body; `used` are the options in effect, `model` decoded the file."""
    options = asdict(used) | {"task": used.task.value}
    del options["is_guess"], options["checks_language"]  # of single windows only
    threshold = options.pop("switch_threshold")
    options |= {MULTILINGUAL_FIELD: threshold is not None, THRESHOLD_FIELD: threshold}
    return {
        "success": True,
        "segments": [
            {
                "start": round(segment.start, 3),
                "end": round(segment.end, 3),
                "text": segment.text.strip(),
                "no_speech_prob": segment.no_speech_prob,
                **({} if segment.language is None else {"language": segment.language}),
            }
            for segment in transcript.segments
        ],
        "info": {
            "language": transcript.language.code,
            "language_probability": transcript.language.probability,
            "duration": round(transcript.duration, 3),
            "duration_after_vad": round(transcript.speech, 3),
            "model": model,
            "transcription_options": options,
        },
        "filename": transcript.filename,
    }


def error_body(error: Exception) -> Json:
    """Return the body of an error under /transcribe."""
    return {"success": False, "error": message_of(error)}
