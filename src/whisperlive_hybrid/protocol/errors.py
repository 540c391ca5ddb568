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
class Fault:
    """How one class of errors looks from outside."""

    status: int
    type: str = "invalid_request_error"
    code: str | None = None
    """None: whatever the error itself says."""
    may_retry: bool = True
    """False: what SDKs would ask again soon (409, 429, 5xx), and to no avail; with the file."""


FAULTS: Final[dict[type[Exception], Fault]] = {
    BadRequest: Fault(400),  # BadAudio too
    Unsupported: Fault(400, code="unsupported_value"),
    Unauthenticated: Fault(401),
    Forbidden: Fault(403),
    NotFound: Fault(404),
    Conflict: Fault(409, may_retry=False),
    Stalled: Fault(408),
    TooLarge: Fault(413, "server_error"),  # OpenAI's own type for it
    Overloaded: Fault(429, "requests", "rate_limit_exceeded"),
    DayUsedUp: Fault(429, "requests", "rate_limit_exceeded", may_retry=False),
    Draining: Fault(503, "server_error", "server_draining"),
    BackendFailed: Fault(500, "server_error"),
    OutOfSpace: Fault(507, "server_error", "insufficient_storage", may_retry=False),
    ModelUnavailable: Fault(503, "server_error", may_retry=False),
    Exception: Fault(500, "server_error", may_retry=False),  # a defect of ours
}


def fault_of(error: Exception) -> Fault:
    """The row of the nearest class."""
    return next(FAULTS[each] for each in type(error).__mro__ if each in FAULTS)


def message_of(error: Exception) -> str:
    """What the client may read; an error that nobody foresaw tells nothing."""
    if isinstance(error, WhisperLiveError):
        return error.message
    return "The server failed to handle this request."


def param_of(error: Exception) -> str | None:
    """The field at fault, where one is."""
    return error.param if isinstance(error, WhisperLiveError) else None


def code_of(error: Exception) -> str | None:
    """The kind of fault, where one has a name."""
    return fault_of(error).code or (error.code if isinstance(error, WhisperLiveError) else None)


def headers_of(error: Exception) -> dict[str, str]:
    """When to come back, or that there is no use in it."""
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"  # RFC 9110, 11.6.1: a 401 has one
    if isinstance(error, Overloaded):
        # Whole seconds (RFC 9110, 10.2.3); zero would invite a storm.
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if not fault_of(error).may_retry:
        headers["x-should-retry"] = "false"
    return headers


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None

    @staticmethod
    def of(error: Exception) -> "Failure":
        """As the HTTP door would tell it at once; a defect of ours tells nothing."""
        return Failure(message_of(error), fault_of(error).type, param_of(error), code_of(error))
