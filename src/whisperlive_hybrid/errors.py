"""Every error that this project raises on purpose, by whose fault it is.

One table per edge maps these classes to an HTTP status, a WebSocket message or an exit code;
nothing below the edges knows about any of those. A message names the thing, the value and the
allowed set, and never shows a path of the server or a stack.
"""

import re


class WhisperLiveError(Exception):
    """Root of everything raised on purpose.

    `param` names the field at fault and `code` the kind of fault in the vocabulary of the OpenAI
    API, both None where no single field or well-known code applies.
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class BadRequest(WhisperLiveError):
    """The client asked for something that makes no sense; asking again will not help."""


class BadAudio(BadRequest):
    """The bytes are not audio that can be decoded, or hold too little or too much of it."""


class TooLarge(BadRequest):
    """The upload exceeds the size limit."""


class Stalled(BadRequest):
    """The upload stopped halfway; it may be sent again."""


class NotFound(BadRequest):
    """The named thing (a model, a job) does not exist or may not be used."""


class Unsupported(BadRequest):
    """A valid wish that this backend or model cannot honour; it is refused, never dropped."""


class RemoteFailed(BadRequest):
    """The server named by the client's URL failed; the same URL may work at another time.

    Still the client's choice of server, so no 5xx: its SDK would send the request again and again.
    """


class Forbidden(BadRequest):
    """A browser asks for a page, or by a name, that the operator has not allowed."""


class Unauthenticated(BadRequest):
    """No key was shown, or one that opens nothing; another key will help.

    The answer is to be given after `answer_after_s`: guesses are to be slow.
    """

    def __init__(
        self, message: str, *, code: str | None = None, answer_after_s: float = 0.0
    ) -> None:
        super().__init__(message, code=code)
        self.answer_after_s = answer_after_s


class Conflict(BadRequest):
    """The thing is not in the state that the wish needs: a job that has ended, or has not yet."""


class OutOfSpace(WhisperLiveError):
    """There is no room on the disk for what was sent; an operator has to make some."""


class Overloaded(WhisperLiveError):
    """There is too much work already; `retry_after_s` says when to come back."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LimitReached(Overloaded):
    """The caller has taken what it may; the server has room, and others are served."""


class DayUsedUp(LimitReached):
    """The caller has had its audio for today; only midnight helps."""


class Draining(Overloaded):
    """The server is shutting down and takes no new work.

    By the time that it names another server, or the next start of this one, may answer.
    """

    def __init__(
        self, message: str = "The server is shutting down.", *, retry_after_s: float = 30.0
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)


class BackendFailed(WhisperLiveError):
    """The model runtime failed on this item; our fault, and a retry may help."""


class ModelUnavailable(WhisperLiveError):
    """The model cannot be loaded; the message is one line that says what to do."""


class ServerUnusable(WhisperLiveError):
    """The server whose client we are cannot be reached, or refuses us whatever we ask."""


class OutputLost(WhisperLiveError):
    """Standard output takes no more: whatever else is made, nobody will read it."""


def error_kind(error: BaseException) -> str:
    """The nearest class of ours in small letters (`bad_audio`), `defect` where there is none.

    For logs and metrics: there are as many kinds as there are classes, whatever clients do.
    """
    if not isinstance(error, WhisperLiveError):
        return "defect"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
