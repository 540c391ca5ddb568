"""What a stream shows, from the `segments` messages of any WhisperLive server; no socket here.

A message is a sliding window: the last completed segments, and at most one that may still change.
Servers differ in what they send: times as strings or numbers, identical messages again and
again, and before 0.6 no `completed`, where every segment but the last counts as complete.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from whisperlive_hybrid.bench.words import words_in


@dataclass(frozen=True, slots=True)
class Line:
    """A completed segment; times in ms from the first sample of the stream."""

    start_ms: int
    end_ms: int
    text: str
    words: tuple[str, ...]
    """Of `text`, normalised."""


@dataclass(frozen=True, slots=True)
class Event:
    """What is shown from `at` on: seconds since the first sample, on the client's clock."""

    at: float
    committed: tuple[Line, ...]
    """All segments completed so far, also those that have left the window."""
    tentative: tuple[str, ...]
    """Words that may still change, normalised."""
    promised: int = 0
    """How many of them, from the first, the server calls stable: a key of ours that few send."""


class Transcript:
    """Gathers the messages of one connection into events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.revisions = 0
        """Completed segments that a later message changed or left out; must stay 0."""
        self.messages = 0
        self._committed: list[Line] = []

    def receive(self, at: float, segments: Sequence[Mapping[str, Any]]) -> None:
        """Take the segments of a message; an event arises only where something has changed."""
        self.messages += 1
        last = len(segments) - 1
        is_completed = [
            bool(segment.get("completed", place < last)) for place, segment in enumerate(segments)
        ]
        pairs = list(zip(segments, is_completed, strict=True))
        self._commit([_line(segment) for segment, completed in pairs if completed])
        still_open = [segment for segment, completed in pairs if not completed]
        text, stable = (
            words_in(" ".join(str(segment.get(key, "")) for segment in still_open))
            for key in ("text", "stable")
        )
        event = Event(at, tuple(self._committed), text, promised=len(stable))
        if not self.events or self._is_news(event):
            self.events.append(event)

    def _commit(self, window: list[Line]) -> None:
        """Lay the window over what is known from its first segment on, and count what differs."""
        if not window:
            return
        first = bisect_left(self._committed, window[0].start_ms, key=lambda line: line.start_ms)
        known = self._committed[first:]
        kept = sum(old == new for old, new in zip(known, window, strict=False))
        self.revisions += len(known) - kept
        self._committed[first:] = window

    def _is_news(self, event: Event) -> bool:
        return replace(self.events[-1], at=event.at) != event


def _line(segment: Mapping[str, Any]) -> Line:
    text = str(segment["text"]).strip()
    return Line(_ms(segment["start"]), _ms(segment["end"]), text, words_in(text))


def _ms(seconds: str | float) -> int:
    return round(float(seconds) * 1000)
