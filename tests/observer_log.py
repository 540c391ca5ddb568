"""An observer of an engine that records its calls."""

from dataclasses import dataclass, field

from whisperlive_hybrid.engine.observer import Mark, ModelCall, WindowRequest


@dataclass
class ObserverLog:
    """An observer that records all calls; its marks are numbers."""

    first: int = 0
    asked_: list[WindowRequest] = field(default_factory=list)
    calls: list[ModelCall] = field(default_factory=list)
    answers: list[tuple[Mark, object]] = field(default_factory=list)

    def on_request(self, request: WindowRequest) -> Mark:
        """Record it, and return its number."""
        self.asked_.append(request)
        return self.first + len(self.asked_) - 1

    def on_call(self, call: ModelCall) -> None:
        """Keep it."""
        self.calls.append(call)

    def on_answer(self, request: WindowRequest, mark: Mark, answer: object) -> None:
        """Keep it."""
        assert request in self.asked_
        self.answers.append((mark, answer))
