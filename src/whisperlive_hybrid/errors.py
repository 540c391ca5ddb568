"""All errors that this project raises on purpose, grouped by the party at fault.

One table per edge maps these classes to an HTTP status, a WebSocket message or an exit code;
modules below the edges use none of those. A message names the field, its value and the allowed
values, and never shows a path of the server or a traceback.

The class names are the kinds in logs and metrics (`error_kind`), so that they are public.
"""

import re


class WhisperLiveError(Exception):
    """Root of all errors of this project.

    `param` is the name of the field at fault, and `code` an error code of the OpenAI API; both are
    None if no single field or no code applies.
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class BadRequest(WhisperLiveError):
    """The request is invalid; the same request will fail again."""


class BadAudio(BadRequest):
    """The audio cannot be decoded, or is too short or too long."""


class TooLarge(BadRequest):
    """The upload exceeds the size limit."""


class Stalled(BadRequest):
    """The upload stopped before its end; the client may send it again."""


class NotFound(BadRequest):
    """The requested model, job or path does not exist, or the caller may not use it."""


class Unsupported(BadRequest):
    """A valid option that this backend or model does not support; it is never ignored."""


class RemoteFailed(BadRequest):
    """The server of the client's URL failed; the same URL may work later.

    The client chose the server, so its error has no 5xx status: SDKs repeat requests on those.
    """


class Forbidden(BadRequest):
    """A browser's request has an origin or a host name that the operator does not allow."""


class Unauthenticated(BadRequest):
    """The key is missing or invalid.

    The response is delayed by `answer_after_s`, which slows down the guessing of keys.
    """

    def __init__(
        self, message: str, *, code: str | None = None, answer_after_s: float = 0.0
    ) -> None:
        super().__init__(message, code=code)
        self.answer_after_s = answer_after_s


class Conflict(BadRequest):
    """The job's state does not allow the request: it has ended, or has not ended yet."""


class OutOfSpace(WhisperLiveError):
    """The server's disk is full; the operator has to free space."""


class Overloaded(WhisperLiveError):
    """The server has too much work; the client should retry after `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LimitReached(Overloaded):
    """The caller has reached a limit of its own; other callers are served."""


class DayUsedUp(LimitReached):
    """The caller's daily quota of audio is used up; it is reset at midnight."""


class Draining(Overloaded):
    """The server is shutting down and accepts no new work.

    After `retry_after_s`, another server or this one after its restart may accept it.
    """

    def __init__(
        self, message: str = "The server is shutting down.", *, retry_after_s: float = 30.0
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)


class BackendFailed(WhisperLiveError):
    """The model runtime failed on this item; the server is at fault, and a retry may help."""


class ModelUnavailable(WhisperLiveError):
    """The model cannot be loaded; the message is one line with the remedy."""


class ServerUnusable(WhisperLiveError):
    """The remote server cannot be reached, or rejects every request of this client."""


class OutputLost(WhisperLiveError):
    """Standard output is closed, so that further results would be lost."""


def error_kind(error: BaseException) -> str:
    """Return the class of an error in snake case (`bad_audio`); `defect` for foreign classes.

    It is for logs and metrics: the number of kinds is bounded, whatever clients send.
    """
    # Names of foreign classes are unbounded, and each would be a time series of the metrics.
    if not isinstance(error, WhisperLiveError):
        return "defect"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
