"""What an engine tells its observer, written down."""

from dataclasses import dataclass, field

from whisperlive_hybrid.engine.observer import Asked, Mark, ModelCall


@dataclass
class ObserverLog:
    """An observer that writes down what it hears; its marks are numbers."""

    first: int = 0
    asked_: list[Asked] = field(default_factory=list)
    calls: list[ModelCall] = field(default_factory=list)
    answers: list[tuple[Mark, object]] = field(default_factory=list)

    def asked(self, asked: Asked) -> Mark:
        """Number it."""
        self.asked_.append(asked)
        return self.first + len(self.asked_) - 1

    def called(self, call: ModelCall) -> None:
        """Keep it."""
        self.calls.append(call)

    def answered(self, asked: Asked, mark: Mark, answer: object) -> None:
        """Keep it."""
        assert asked in self.asked_
        self.answers.append((mark, answer))
