"""Fake backends with a slow encoder, or with a gate that a test opens."""

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from whisperlive_hybrid.backends.base import (
    Align,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.backends.fake import FakeBackend, FakeVocabulary
from whisperlive_hybrid.types import Hypothesis, Language, TokenTime

TIMEOUT_S = 30.0
"""Timeout of tests that wait for a thread; no passing test waits so long."""


@dataclass(slots=True)
class SlowBackend(FakeBackend):
    """The fake backend with an encoder as slow as that of a large model."""

    encode_s: float = 0.1

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Encode after `encode_s`."""
        threading.Event().wait(self.encode_s)
        return FakeBackend.encode(self, batch)


@dataclass(slots=True)
class GatedBackend:
    """A fake backend whose `generate` sets `reached` and waits until `gate` is set."""

    fake: FakeBackend = field(default_factory=FakeBackend)
    gate: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    @property
    def capabilities(self) -> Capabilities:
        """Those of the fake."""
        return self.fake.capabilities

    @property
    def vocabulary(self) -> FakeVocabulary:
        """That of the fake."""
        return self.fake.vocabulary

    def batch_key(self, work: Work) -> Hashable:
        """As the fake."""
        return self.fake.batch_key(work)

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """As the fake."""
        return self.fake.encode(batch)

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """As the fake."""
        return self.fake.detect_language(batch)

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Wait for the gate, then generate."""
        self.reached.set()
        if not self.gate.wait(TIMEOUT_S):
            raise TimeoutError("the test never opened the gate")
        return self.fake.generate(batch)

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """As the fake."""
        return self.fake.align(batch)

    def close(self) -> None:
        """As the fake."""
        self.fake.close()
