"""The one table from errors to HTTP: status, headers, and the vocabulary of the OpenAI API."""

import math
from dataclasses import dataclass
from typing import Final

from whisperlive_hybrid.errors import (
    BackendFailed,
    BadRequest,
    Conflict,
    DayUsedUp,
    Draining,
    Forbidden,
    ModelUnavailable,
    NotFound,
    OutOfSpace,
    Overloaded,
    Stalled,
    TooLarge,
    Unauthenticated,
    Unsupported,
    WhisperLiveError,
)


@dataclass(frozen=True, slots=True)
class ErrorMapping:
    """The HTTP status and the OpenAI vocabulary of one class of errors."""

    status: int
    type: str = "invalid_request_error"
    code: str | None = None
    """None for the code of the error itself."""
    may_retry: bool = True
    """False to stop SDKs from repeating what they would retry (409, 429, 5xx), file included."""


ERROR_MAPPINGS: Final[dict[type[Exception], ErrorMapping]] = {
    BadRequest: ErrorMapping(400),  # BadAudio too
    Unsupported: ErrorMapping(400, code="unsupported_value"),
    Unauthenticated: ErrorMapping(401),
    Forbidden: ErrorMapping(403),
    NotFound: ErrorMapping(404),
    Conflict: ErrorMapping(409, may_retry=False),  # the same request conflicts again
    Stalled: ErrorMapping(408),
    TooLarge: ErrorMapping(413, "server_error"),  # OpenAI's own type for it
    Overloaded: ErrorMapping(429, "requests", "rate_limit_exceeded"),
    # The day ends at 00:00 UTC, far beyond the retries of any SDK.
    DayUsedUp: ErrorMapping(429, "requests", "rate_limit_exceeded", may_retry=False),
    # May be retried: the restarted server, or another one, will answer.
    Draining: ErrorMapping(503, "server_error", "server_draining"),
    BackendFailed: ErrorMapping(500, "server_error"),
    # A retry would upload the file again, to the same full disk.
    OutOfSpace: ErrorMapping(507, "server_error", "insufficient_storage", may_retry=False),
    ModelUnavailable: ErrorMapping(503, "server_error", may_retry=False),
    Exception: ErrorMapping(500, "server_error", may_retry=False),  # a bug in this server
}


def map_error(error: Exception) -> ErrorMapping:
    """Return the row of the nearest class in the error's method resolution order."""
    return next(
        ERROR_MAPPINGS[ancestor] for ancestor in type(error).__mro__ if ancestor in ERROR_MAPPINGS
    )


def message_of(error: Exception) -> str:
    """Return the message for the client; it shows nothing of an unexpected exception."""
    if isinstance(error, WhisperLiveError):
        return error.message
    # The text of any other exception may hold paths or data of other clients.
    return "The server failed to handle this request."


def param_of(error: Exception) -> str | None:
    """Return the field at fault, if there is one."""
    return error.param if isinstance(error, WhisperLiveError) else None


def code_of(error: Exception) -> str | None:
    """Return OpenAI's code of the error, or the error's own."""
    return map_error(error).code or (error.code if isinstance(error, WhisperLiveError) else None)


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers that say how to authenticate, and when or whether to retry."""
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"  # RFC 9110, 11.6.1: a 401 has one
    if isinstance(error, Overloaded):
        # Whole seconds (RFC 9110, 10.2.3); with zero all clients would retry at once.
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if not map_error(error).may_retry:
        headers["x-should-retry"] = "false"
    return headers


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as it is stored and sent: OpenAI's four fields."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None

    @staticmethod
    def of(error: Exception) -> "ErrorInfo":
        """Return the fields of an error as the HTTP server would answer it."""
        return ErrorInfo(message_of(error), map_error(error).type, param_of(error), code_of(error))
