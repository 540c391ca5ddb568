"""The seam for traces: spans around requests, utterances and files; and nothing, by default.

The spans below them, of windows and of calls of the model, come from an engine's `Observer`.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from whisperlive_hybrid.engine.observer import Observer

Values = Mapping[str, str | int | float]
"""By the names of OpenTelemetry's conventions, such as `http.route`."""

NONE: Final[Values] = MappingProxyType({})


class Span(Protocol):
    """Something that lasts."""

    def rename(self, name: str) -> None:
        """Give it the name that could not be known when it began."""

    def note(self, values: Values) -> None:
        """Say more about it; never with text, audio, tokens or file names."""


class Tracer(Protocol):
    """Begins spans; what begins inside one, in the same task or a child of it, is its child."""

    def joined(self, headers: Mapping[str, str]) -> AbstractContextManager[None]:
        """Inside, spans belong to the trace that the caller's `traceparent` names, if any.

        `headers` have names in lower case.
        """

    def span(self, name: str, values: Values = NONE) -> AbstractContextManager[Span]:
        """A span that lasts while inside."""


class _NoSpan:
    """Is not traced."""

    def rename(self, name: str) -> None:
        """Let it pass."""

    def note(self, values: Values) -> None:
        """Let it pass."""


class _NoTracer:
    """Traces nothing."""

    @contextmanager
    def joined(self, headers: Mapping[str, str]) -> Iterator[None]:
        """Join nothing."""
        del headers
        yield

    @contextmanager
    def span(self, name: str, values: Values = NONE) -> Iterator[Span]:
        """Begin nothing."""
        del name, values
        yield _NoSpan()


NO_TRACER: Final[Tracer] = _NoTracer()
"""For a server that is not traced."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """A tracer for the doors, and the observers that trace the engine."""

    tracer: Tracer = NO_TRACER
    observers: tuple[Observer, ...] = ()
