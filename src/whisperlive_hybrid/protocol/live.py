"""The contract of live protocols: the events that a codec reads from a client and writes to it.

A codec speaks one protocol and owns no socket. It reads messages into the events below and renders
the events of a stream as messages; the server (`server/live/`) moves the bytes, decides who is
admitted, and runs the session. Times are seconds on the recording clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from whisperlive_hybrid.audio.pcm import PcmFormat
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.speech.regions import LIVE_VAD, VadOptions
from whisperlive_hybrid.types import SAMPLE_RATE, DecodeOptions, Language, Segment

Frame = str | bytes
"""One message: text or binary."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The request with which a client opens a stream."""

    options: DecodeOptions = field(default_factory=DecodeOptions)
    vad: VadOptions = LIVE_VAD
    model: str = ""
    """As the client spells it; empty if it names none."""
    audio_format: PcmFormat | None = None
    """None to detect it from the audio."""
    sample_rate: int = SAMPLE_RATE
    """Of the client's audio, in Hz; 8,000 to 48,000."""
    unsupported: tuple[str, ...] = ()
    """Keys that were accepted although the feature does not exist yet."""
    notes: tuple[str, ...] = ()
    """Decisions about the request, for the log."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Encoded audio; a sample may be split between two of them."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class EndOfAudio:
    """The client has sent everything and waits for the rest of its text."""


ClientEvent = Audio | EndOfAudio


@dataclass(frozen=True, slots=True)
class StreamReady:
    """The client is admitted and may send audio; `model` decodes it."""

    model: str


@dataclass(frozen=True, slots=True)
class StreamRejected:
    """The server is full."""

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The request or the stream has failed; nothing follows."""

    message: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The server ends the stream before the client has; its text is complete."""


@dataclass(frozen=True, slots=True)
class LanguageDetected:
    """The language of the stream; sent once, before any text, unless the client named it."""

    language: Language


@dataclass(frozen=True, slots=True)
class TextUpdate:
    """The current text; `completed` segments never change again."""

    completed: tuple[Segment, ...]
    tentative: Segment | None
    stable: str = ""
    """The beginning of the tentative text on which the last two updates agreed."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of audio on which the model failed twice."""

    start: float
    end: float


SessionEvent = LanguageDetected | TextUpdate | Gap
"""The events of a session."""

ServerEvent = SessionEvent | StreamReady | StreamRejected | StreamFailed | StreamEnded


class BadHandshake(BadRequest):
    """The first message of a client is invalid.

    `uid` identifies the client in the answer, in protocols that have such a key.
    """

    def __init__(self, message: str, *, uid: object = None) -> None:
        super().__init__(message)
        self.uid = uid


class LiveCodec(Protocol):
    """One client's side of a live protocol, as a state machine over messages."""

    def open(self, first: Frame) -> StreamRequest:
        """Parse the first message; raise `BadHandshake` for an invalid one."""

    def receive(self, frame: Frame) -> Sequence[ClientEvent]:
        """Parse a later message; raise `BadRequest` for an invalid one."""

    def render(self, event: ServerEvent) -> Sequence[Frame]:
        """Return the messages of an event; none if the protocol has no message for it."""
