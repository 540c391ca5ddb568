"""Events of the engine for metrics, traces and logs: plain values, and no library.

An observer is called on the event loop and on worker threads, between calls of the model. It must
return quickly and raise nothing. Times are on the monotonic clock, in seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from whisperlive_hybrid.types import Urgency

Mark = Any
"""What an observer wants to get back with later events of the same window."""


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """A window, or the audio of another model's job, that a caller submits."""

    model: str
    urgency: Urgency
    audio_s: float


@dataclass(frozen=True, slots=True)
class Part:
    """The part of one window in a call of the model."""

    mark: Mark
    urgency: Urgency
    queued_at: float
    """Since when this task has waited."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model, with all the windows that shared it."""

    model: str
    kind: str
    """encode, detect_language, generate or align; another word for jobs of other models."""
    parts: tuple[Part, ...]
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """Its duration."""
        return self.ended - self.began


class Observer(Protocol):
    """Receives every window and every call of the model."""

    def on_request(self, request: WindowRequest) -> Mark:
        """Receive a window; called in its caller's context, with the ids of that on the log."""

    def on_call(self, call: ModelCall) -> None:
        """Receive a finished call of the model; called on a worker thread."""

    def on_answer(self, request: WindowRequest, mark: Mark, answer: object) -> None:
        """Receive the answer of a window, or its exception; called in its caller's context."""


class _NoObserver:
    """Observes nothing."""

    def on_request(self, request: WindowRequest) -> Mark:
        """Return no mark."""
        del request

    def on_call(self, call: ModelCall) -> None:
        """Ignore the call."""

    def on_answer(self, request: WindowRequest, mark: Mark, answer: object) -> None:
        """Ignore the answer."""


NO_OBSERVER: Final[Observer] = _NoObserver()


class Observers:
    """Several observers as one; each gets its own marks back."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def on_request(self, request: WindowRequest) -> Mark:
        """Pass the window to all; the mark is a tuple of theirs."""
        return tuple(observer.on_request(request) for observer in self._observers)

    def on_call(self, call: ModelCall) -> None:
        """Pass the call to all."""
        for place, observer in enumerate(self._observers):
            parts = tuple(replace(part, mark=part.mark[place]) for part in call.parts)
            observer.on_call(replace(call, parts=parts))

    def on_answer(self, request: WindowRequest, mark: Mark, answer: object) -> None:
        """Pass the answer to all."""
        for observer, own in zip(self._observers, mark, strict=True):
            observer.on_answer(request, own, answer)
