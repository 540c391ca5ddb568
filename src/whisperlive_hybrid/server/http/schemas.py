"""The responses in the OpenAPI document: the shapes that `protocol/` writes."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

Responses = dict[int | str, dict[str, Any]]


class StrictModel(BaseModel):
    """A JSON object with these keys and no others."""

    model_config = ConfigDict(extra="forbid")


class DurationUsage(StrictModel):
    """Seconds of audio, rounded up."""

    type: Literal["duration"]
    seconds: int


class ErrorFields(StrictModel):
    """An error; all four keys are always there."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(StrictModel):
    """The body of every error; `usage` is there for an upload that is too large."""

    error: ErrorFields
    usage: DurationUsage | None = None


class LegacyErrorBody(StrictModel):
    """The body of every error under /transcribe."""

    success: Literal[False]
    error: str


class GroqMark(StrictModel):
    """The key that Groq's API adds to its answers."""

    id: str


class TokenLogprob(StrictModel):
    """One token of the text."""

    token: str
    logprob: float
    bytes: list[int]


class LanguageCode(StrictModel):
    """A spoken language."""

    code: str


class TranscriptionBody(StrictModel):
    """`json`."""

    text: str
    logprobs: list[TokenLogprob] | None = None
    languages: list[LanguageCode] | None = None
    usage: DurationUsage
    x_groq: GroqMark | None = None
    """Only for paths that begin with /openai/v1."""


class SegmentBody(StrictModel):
    """A segment of text."""

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
    """The code of the spoken language, with multilingual=true."""


class WordBody(StrictModel):
    """A word with its measured times."""

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
    """Stretches in which the detector found speech and the model wrote no text."""
    usage: DurationUsage
    x_groq: GroqMark | None = None
    """Only for paths that begin with /openai/v1."""


class ModelCard(StrictModel):
    """A name that requests may use as `model`."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    shutdown_date: str | None


class ModelList(StrictModel):
    """All models."""

    object: Literal["list"]
    data: list[ModelCard]


_TEXT: Final = {"schema": {"type": "string"}}
_EVENTS: Final = {
    "itemSchema": {  # of OpenAPI 3.2, as FastAPI writes it for its own streams
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {
                    "type": "object",
                    "description": "Pieces of text, then the whole text; an error ends the stream.",
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
            "description": "Whole seconds after which to retry.",
            "schema": {"type": "integer", "minimum": 1},
        }
    }
}


def _error_responses(body: type[BaseModel]) -> Responses:
    return {
        "4XX": {"model": body, "description": "The request is refused; the message says why."},
        429: {
            "model": body,
            "description": "A limit is reached, or the server is busy.",
            **_RETRY_AFTER,
        },
        500: {"model": body, "description": "The server failed."},
        503: {
            "model": body,
            "description": "The server shuts down, or has no such model.",
        },
    }


ERROR_RESPONSES: Final = _error_responses(ErrorBody)
LEGACY_ERROR_RESPONSES: Final = _error_responses(LegacyErrorBody)

TRANSLATION_RESPONSES: Final[Responses] = {
    200: {
        "model": TranscriptionBody | VerboseBody,
        "content": {"text/plain": _TEXT},
        "description": "The transcript in the requested format.",
    }
}
TRANSCRIPTION_RESPONSES: Final[Responses] = {
    200: {
        "model": TranscriptionBody | VerboseBody,
        "content": {"text/plain": _TEXT, "text/event-stream": _EVENTS},
        "description": "The transcript in the requested format; with stream=true as events.",
    }
}
