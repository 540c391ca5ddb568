"""What the engine tells of its work to whoever measures it: plain values, and no library.

An observer is called on the event loop and on worker threads, between calls of the model, so it
must be quick, and raise nothing. Moments are on the monotonic clock, in seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from whisperlive_hybrid.types import Urgency

Mark = Any
"""Whatever an observer wants to be given back with the news of one window."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A window that somebody wants to have read."""

    model: str
    urgency: Urgency
    audio_s: float


@dataclass(frozen=True, slots=True)
class Part:
    """The part of one window in a call of the model."""

    mark: Mark
    urgency: Urgency
    queued_at: float
    """Since when this piece of work has waited."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model, with all the windows that shared it."""

    model: str
    kind: str
    """encode, detect_language, generate or align."""
    parts: tuple[Part, ...]
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


class Observer(Protocol):
    """Hears of every window and of every call."""

    def asked(self, asked: Asked) -> Mark:
        """A window is handed in; called where its caller runs, so in the caller's context."""

    def called(self, call: ModelCall) -> None:
        """A call of the model has come back; called on a worker thread."""

    def answered(self, asked: Asked, mark: Mark, answer: object) -> None:
        """A window is read, or will not be; called where its caller runs."""


class _Nobody:
    """Observes nothing."""

    def asked(self, asked: Asked) -> Mark:
        """Want nothing back."""
        del asked

    def called(self, call: ModelCall) -> None:
        """Let it pass."""

    def answered(self, asked: Asked, mark: Mark, answer: object) -> None:
        """Let it pass."""


NOBODY: Final[Observer] = _Nobody()
"""For an engine that nobody watches."""


class Observers:
    """Several observers in the place of one; each is given its own marks back."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def asked(self, asked: Asked) -> Mark:
        """Tell all; the mark is a tuple of theirs."""
        return tuple(each.asked(asked) for each in self._observers)

    def called(self, call: ModelCall) -> None:
        """Tell all."""
        for place, each in enumerate(self._observers):
            parts = tuple(replace(part, mark=part.mark[place]) for part in call.parts)
            each.called(replace(call, parts=parts))

    def answered(self, asked: Asked, mark: Mark, answer: object) -> None:
        """Tell all."""
        for each, own in zip(self._observers, mark, strict=True):
            each.answered(asked, own, answer)
