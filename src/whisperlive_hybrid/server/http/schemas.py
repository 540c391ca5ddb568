"""What replies look like, for the OpenAPI document: the shapes that `protocol/` writes."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

Responses = dict[int | str, dict[str, Any]]


class StrictModel(BaseModel):
    """Has these keys and no others."""

    model_config = ConfigDict(extra="forbid")


class DurationUsage(StrictModel):
    """Begun seconds of audio."""

    type: Literal["duration"]
    seconds: int


class ErrorFields(StrictModel):
    """What went wrong; all four keys are always there."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(StrictModel):
    """Every refusal and failure; `usage` is there for an upload that is too large."""

    error: ErrorFields
    usage: DurationUsage | None = None


class LegacyErrorBody(StrictModel):
    """The same on the older routes."""

    success: Literal[False]
    error: str


class GroqMark(StrictModel):
    """What Groq's API adds to its answers."""

    id: str


class TokenLogprob(StrictModel):
    """One token of the text."""

    token: str
    logprob: float
    bytes: list[int]


class LanguageCode(StrictModel):
    """A language that was heard."""

    code: str


class TranscriptionBody(StrictModel):
    """`json`."""

    text: str
    logprobs: list[TokenLogprob] | None = None
    languages: list[LanguageCode] | None = None
    usage: DurationUsage
    x_groq: GroqMark | None = None
    """Where the path begins with /openai/v1."""


class SegmentBody(StrictModel):
    """A stretch of text."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    language: str | None = None
    """The code of what is spoken, with multilingual=true."""


class WordBody(StrictModel):
    """A word with its measured place."""

    word: str
    start: float
    end: float


class UnreadBody(StrictModel):
    """Speech without text, in seconds of the recording."""

    start: float
    end: float


class VerboseBody(StrictModel):
    """`verbose_json`."""

    task: Literal["transcribe", "translate"]
    language: str
    duration: float
    text: str
    segments: list[SegmentBody] | None = None
    words: list[WordBody] | None = None
    unread: list[UnreadBody]
    """Where the detector found speech and the model wrote nothing."""
    usage: DurationUsage
    x_groq: GroqMark | None = None
    """Where the path begins with /openai/v1."""


class ModelCard(StrictModel):
    """A name that requests may use as `model`."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    shutdown_date: str | None


class ModelList(StrictModel):
    """All of them."""

    object: Literal["list"]
    data: list[ModelCard]


_TEXT: Final = {"schema": {"type": "string"}}
_EVENTS: Final = {
    "itemSchema": {  # of OpenAPI 3.2, as FastAPI writes it for streams of its own
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {
                    "type": "object",
                    "description": "Pieces of text, then all of it; or an error, which is last.",
                    "properties": {
                        "type": {"enum": ["transcript.text.delta", "transcript.text.done"]},
                        "delta": {"type": "string"},
                        "text": {"type": "string"},
                        "logprobs": {"type": "array"},
                        "languages": {"type": "array"},
                        "usage": {"type": "object"},
                        "error": {"type": "object"},
                    },
                },
            }
        },
    }
}
_RETRY_AFTER: Final = {
    "headers": {
        "retry-after": {
            "description": "Whole seconds after which to ask again.",
            "schema": {"type": "integer", "minimum": 1},
        }
    }
}


def _failures(body: type[BaseModel]) -> Responses:
    return {
        "4XX": {"model": body, "description": "The request cannot be honoured; it says why."},
        429: {"model": body, "description": "There is too much work already.", **_RETRY_AFTER},
        500: {"model": body, "description": "The server failed."},
        503: {"model": body, "description": "The server shuts down, or has no such model."},
    }


ERROR_RESPONSES: Final = _failures(ErrorBody)
LEGACY_ERROR_RESPONSES: Final = _failures(LegacyErrorBody)

TRANSLATION_RESPONSES: Final[Responses] = {
    200: {
        "model": TranscriptionBody | VerboseBody,
        "content": {"text/plain": _TEXT},
        "description": "The text in the format asked for.",
    }
}
TRANSCRIPTION_RESPONSES: Final[Responses] = {
    200: {
        "model": TranscriptionBody | VerboseBody,
        "content": {"text/plain": _TEXT, "text/event-stream": _EVENTS},
        "description": "The text in the format asked for; with stream=true as events.",
    }
}
