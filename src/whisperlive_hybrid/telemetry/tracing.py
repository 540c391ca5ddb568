"""The interface of tracing: spans of requests, utterances and files; by default none.

The spans inside them, of windows and model calls, are made by an `Observer` of the engine.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from whisperlive_hybrid.engine.observer import Observer

Attributes = Mapping[str, str | int | float]
"""Attributes of a span, named by OpenTelemetry's conventions, such as `http.route`."""

NO_ATTRIBUTES: Final[Attributes] = MappingProxyType({})


class TraceSpan(Protocol):
    """A timed operation within a trace."""

    def rename(self, name: str) -> None:
        """Change the name, for a span whose name is not known at its start."""

    def set_attributes(self, attributes: Attributes) -> None:
        """Add attributes; never text, audio, tokens or file names."""


class Tracer(Protocol):
    """Starts spans. One started inside another, in the same task or a child task, is its child."""

    def join(self, headers: Mapping[str, str]) -> AbstractContextManager[None]:
        """Continue the trace of the caller's `traceparent` header, if there is one, while inside.

        `headers` have names in lower case.
        """

    def span(
        self, name: str, attributes: Attributes = NO_ATTRIBUTES
    ) -> AbstractContextManager[TraceSpan]:
        """Open a span while inside."""


class _NoSpan:
    def rename(self, name: str) -> None:
        """Do nothing."""

    def set_attributes(self, attributes: Attributes) -> None:
        """Do nothing."""


class _NoTracer:
    @contextmanager
    def join(self, headers: Mapping[str, str]) -> Iterator[None]:
        """Do nothing."""
        del headers
        yield

    @contextmanager
    def span(self, name: str, attributes: Attributes = NO_ATTRIBUTES) -> Iterator[TraceSpan]:
        """Do nothing."""
        del name, attributes
        yield _NoSpan()


NO_TRACER: Final[Tracer] = _NoTracer()
"""For a server without tracing."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """A tracer for the servers, and the observers that trace the engine."""

    tracer: Tracer = NO_TRACER
    observers: tuple[Observer, ...] = ()
