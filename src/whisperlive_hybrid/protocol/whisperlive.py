"""The WhisperLive wire protocol without a socket: frames in, events out; segments in, frames out.

Existing clients force these rules; comments name the rule that forces a line.

- R1 `backend` is always "faster_whisper": clients keep no transcript for any other name.
- R2 nothing but WAIT or ERROR is sent before SERVER_READY.
- R3 a `segments` list is never empty.
- R4 `start` and `end` are strings with three decimals.
- R5 completed segments neither overlap nor run backwards after rounding.
- R6 `text` begins with a space.
- R7 every segment says whether it is `completed`.
- R8 a message carries the last n completed segments and at most one incomplete one, last.
- R9 a completed segment never changes; an incomplete one keeps its `start` when it completes.
- R11 the text of a completed segment was sent as incomplete before, if anything was: the Python
  client keeps the last incomplete text for ever and appends it where it differs (measured).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from reprlib import repr as short_repr
from typing import Any, Final

from whisperlive_hybrid.audio.pcm import PcmFormat
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.languages import is_auto_language, language_code
from whisperlive_hybrid.protocol.json_limits import BadJson, has_surrogates, read_json
from whisperlive_hybrid.protocol.live import (
    Audio,
    BadHandshake,
    ClientEvent,
    EndOfAudio,
    Frame,
    Gap,
    LanguageDetected,
    ServerEvent,
    StreamEnded,
    StreamFailed,
    StreamReady,
    StreamRejected,
    StreamRequest,
    TextUpdate,
)
from whisperlive_hybrid.protocol.multilingual import MULTILINGUAL_FIELD, THRESHOLD_FIELD
from whisperlive_hybrid.protocol.vad_parameters import vad_options
from whisperlive_hybrid.speech.regions import LIVE_VAD, VadOptions
from whisperlive_hybrid.text.language import SWITCH_THRESHOLD
from whisperlive_hybrid.types import DecodeOptions, Language, Segment, Task, Thresholds

END_OF_AUDIO: Final = b"END_OF_AUDIO"
"""Python clients send it as a binary frame, the iOS client as text; both count."""

DEFAULT_WINDOW: Final = 10
"""Completed segments per message unless the client sets them (the reference's default)."""

DEFAULT_NO_SPEECH: Final = 0.45

MAX_HANDSHAKE_BYTES: Final = 2**20
"""As in the reference: `known_speakers` holds recordings in base64."""

_OLD_MULTILINGUAL: Final = (
    "multilingual is ignored, since only clients of 2023 send it without use_vad"
)

MAX_UID_CHARACTERS: Final = 1024
"""The uid is part of every message. Clients send a UUID."""

_PCM_FORMATS: Final = (PcmFormat.FLOAT32, PcmFormat.INT16, PcmFormat.UINT8)
"""Those that clients of this protocol name."""

_UNSUPPORTED: Final = ("enable_diarization", "enable_translation", "known_speakers")
"""Keys that are accepted, and logged, until the feature exists."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """The first message of a client, with every absent key at its default."""

    uid: object
    """Opaque: any string, or an integer or null, echoed verbatim in every message."""
    language: str | None = None
    switch_threshold: float | None = None
    """As in `DecodeOptions`; None for streams in one language."""
    task: Task = Task.TRANSCRIBE
    model: str = ""
    """As the client spells it; empty if it names none."""
    vad: VadOptions = LIVE_VAD
    audio_format: PcmFormat | None = None
    """None if the client did not name it."""
    window: int = DEFAULT_WINDOW
    """Completed segments per message; 0 for all of them."""
    no_speech_thresh: float = DEFAULT_NO_SPEECH
    word_timestamps: bool = False
    hotwords: str = ""
    initial_prompt: str = ""
    unsupported: tuple[str, ...] = ()
    """Keys of requested features that do not exist yet."""
    has_old_multilingual: bool = False
    """True if `multilingual` has its meaning of 2023: a model of more languages than English."""


def parse_handshake(frame: str | bytes, vad: VadOptions = LIVE_VAD) -> Handshake:
    """Parse the first frame; `vad` holds the defaults.

    Raise `BadHandshake`, which carries the uid if it is valid.
    """
    try:
        message = read_json(frame, max_length=MAX_HANDSHAKE_BYTES)
    except BadJson as error:
        raise BadHandshake(f"The handshake {error.message}.", uid=None) from error
    if not isinstance(message, dict):
        raise BadHandshake("The handshake is not a JSON object.", uid=None)
    uid = message.get("uid")
    if not isinstance(uid, str | int | None):
        raise BadHandshake("uid is not a string.", uid=None)
    if isinstance(uid, str) and len(uid) > MAX_UID_CHARACTERS:
        raise BadHandshake(f"uid is longer than {MAX_UID_CHARACTERS} characters.", uid=None)
    try:
        return Handshake(
            uid=uid,
            language=_language(message),
            switch_threshold=_switch_threshold(message),
            task=Task(_choice(message, "task", [task.value for task in Task]) or "transcribe"),
            model=_text(message, "model") or _text(message, "model_size"),
            vad=_vad(message, vad),
            audio_format=_audio_format(message),
            window=_window(message),
            no_speech_thresh=_number(message, "no_speech_thresh", DEFAULT_NO_SPEECH, 0, 1),
            word_timestamps=_flag(message, "word_timestamps", default=False),
            hotwords=_text(message, "hotwords"),
            initial_prompt=_text(message, "initial_prompt"),
            unsupported=tuple(key for key in _UNSUPPORTED if message.get(key)),
            has_old_multilingual=_flag(message, MULTILINGUAL_FIELD, default=False)
            and not _may_switch_language(message),
        )
    except BadRequest as error:
        raise BadHandshake(error.message, uid=uid) from error


def parse_frame(frame: str | bytes) -> Audio | EndOfAudio:
    """Parse a frame after the handshake; raise `BadRequest` for any text but END_OF_AUDIO."""
    payload = frame.encode() if isinstance(frame, str) else frame
    if payload == END_OF_AUDIO:
        return EndOfAudio()
    if isinstance(frame, str):
        raise BadRequest("After the handshake only binary audio and END_OF_AUDIO are understood.")
    return Audio(payload)


def wait_message(uid: object, minutes: float) -> str:
    """Return the message of a full server; clients show the number of minutes."""
    return json.dumps({"uid": uid, "status": "WAIT", "message": minutes})


def error_message(uid: object, message: str) -> str:
    """Return the message of an error that ends the connection."""
    return json.dumps({"uid": uid, "status": "ERROR", "message": message})


def ready_message(uid: object, model: str) -> str:
    """Return the message that admits a client (R1); known clients ignore `model`."""
    ready = {"uid": uid, "message": "SERVER_READY", "backend": "faster_whisper", "model": model}
    return json.dumps(ready)


def language_message(uid: object, language: Language) -> str:
    """Return the message of the detected language, sent once and before the first segments.

    It is a separate message, because clients that find `language` ignore other keys (measured).
    """
    return json.dumps(
        {"uid": uid, "language": language.code, "language_prob": language.probability}
    )


def disconnect_message(uid: object) -> str:
    """Return the message of a used-up connection time; always the last one."""
    return json.dumps({"uid": uid, "message": "DISCONNECT"})


class SegmentWriter:
    """Renders the `segments` messages of one connection."""

    def __init__(self, uid: object, window: int) -> None:
        self._uid = uid
        self._window = window
        self._completed: list[dict[str, Any]] = []
        self._end_ms = 0  # of the last completed segment
        self._tentative: dict[str, Any] | None = None
        self._last = ""
        self._last_incomplete = ""  # the text that the client keeps (R11)

    def render_update(
        self, completed: Sequence[Segment], tentative: Segment | None, stable: str = ""
    ) -> list[str]:
        """Return the messages after `completed` were added and `tentative` became the incomplete.

        Usually one message; none if nothing has changed; two if the last completed text must be
        sent as incomplete first (R11).
        """
        preview = None
        if completed and self._last_incomplete not in ("", _text_of(completed[-1])):
            preview = self.render(completed[:-1], completed[-1])
            completed = completed[-1:]
        message = self.render(completed, tentative, stable)
        return [text for text in (preview, message) if text is not None]

    def render(
        self, completed: Sequence[Segment], tentative: Segment | None, stable: str = ""
    ) -> str | None:
        """Return the message after `completed` were added and `tentative` became the incomplete.

        `stable` is the beginning of the tentative text that will hardly change; it is sent under a
        key that is not WhisperLive's, which existing clients ignore. Return None without segments
        (R3), or if nothing has changed, since a repetition only costs the client work.
        """
        for segment in completed:
            self._completed.append(self._entry(segment, is_completed=True))
        if self._window:
            del self._completed[: -self._window]
        self._tentative = self._entry(tentative, is_completed=False) if tentative else None
        if self._tentative:
            self._last_incomplete = self._tentative["text"]
        if self._tentative and stable:
            self._tentative["stable"] = stable
        segments = self._completed + ([self._tentative] if self._tentative else [])  # R8
        if not segments:
            return None
        # Escaped to ASCII, because JSON can hold half a surrogate pair and UTF-8 cannot.
        message = json.dumps({"uid": self._uid, "segments": segments})
        if message == self._last:
            return None
        self._last = message
        return message

    def _entry(self, segment: Segment, *, is_completed: bool) -> dict[str, Any]:
        start_ms, end_ms = self._round_times(segment)
        if is_completed:
            self._end_ms = end_ms
            self._tentative = None
        entry: dict[str, Any] = {
            "start": _seconds(start_ms),
            "end": _seconds(end_ms),
            "text": _text_of(segment),
            "completed": is_completed,  # R7
        }
        if segment.language is not None:
            entry["language"] = segment.language
        if segment.words is not None:
            entry["words"] = [
                {
                    "word": word.text,
                    "start": _seconds(round(word.start * 1000)),
                    "end": _seconds(round(word.end * 1000)),
                    "probability": round(word.probability, 4),
                }
                for word in segment.words
            ]
        return entry

    def _round_times(self, segment: Segment) -> tuple[int, int]:
        """Return times in ms that neither overlap the last completed segment nor decrease (R5).

        No segment is of length zero: the next one would have the same start, by which clients
        distinguish segments.
        """
        start_ms = max(self._end_ms, round(segment.start * 1000))
        end_ms = max(start_ms + 1, round(segment.end * 1000))
        if self._tentative is not None:  # R9: it was sent with this start
            shown_ms = round(float(self._tentative["start"]) * 1000)
            start_ms = min(max(self._end_ms, shown_ms), end_ms - 1)
        return start_ms, end_ms


class WhisperLiveCodec:
    """The WhisperLive protocol of one client; see `LiveCodec`."""

    def __init__(self, vad: VadOptions = LIVE_VAD, audio_format: PcmFormat | None = None) -> None:
        """`vad` and `audio_format` are the defaults; None detects the format."""
        self._vad = vad
        self._audio_format = audio_format
        self._uid: object = None
        self._writer = SegmentWriter(None, DEFAULT_WINDOW)

    def open(self, first: Frame) -> StreamRequest:
        """Parse the handshake; raise `BadHandshake`."""
        try:
            handshake = parse_handshake(first, self._vad)
        except BadHandshake as error:
            self._uid = error.uid
            raise
        self._uid = handshake.uid
        self._writer = SegmentWriter(handshake.uid, handshake.window)
        return StreamRequest(
            DecodeOptions(
                language=handshake.language,
                switch_threshold=handshake.switch_threshold,
                task=handshake.task,
                prompt=handshake.initial_prompt,
                hotwords=handshake.hotwords,
                words=handshake.word_timestamps,
                thresholds=Thresholds(no_speech=handshake.no_speech_thresh),
            ),
            vad=handshake.vad,
            model=handshake.model,
            audio_format=handshake.audio_format or self._audio_format,
            unsupported=handshake.unsupported,
            notes=(_OLD_MULTILINGUAL,) if handshake.has_old_multilingual else (),
        )

    def receive(self, frame: Frame) -> list[ClientEvent]:
        """Parse audio or END_OF_AUDIO; raise `BadRequest` for other text."""
        return [parse_frame(frame)]

    def render(self, event: ServerEvent) -> list[Frame]:
        """Return the messages of an event."""
        match event:
            case Gap():
                return []  # the protocol has no message for it; the log and the metrics show it
            case TextUpdate(completed, tentative, stable):
                return [*self._writer.render_update(completed, tentative, stable)]
            case LanguageDetected(language):
                message = language_message(self._uid, language)
            case StreamReady(model):
                message = ready_message(self._uid, model)
            case StreamRejected(retry_after_s):
                message = wait_message(self._uid, retry_after_s / 60)
            case StreamFailed(reason):
                message = error_message(self._uid, reason)
            case StreamEnded():
                message = disconnect_message(self._uid)
        return [message]


def _text_of(segment: Segment) -> str:
    return " " + segment.text.strip()  # R6


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"  # R4


def _may_switch_language(message: Mapping[str, Any]) -> bool:
    """Return whether `multilingual` can mean that the language may change.

    Clients 0.0.4 to 0.0.11 sent it in every handshake, for a model that is not English-only. None
    of them sent the keys checked here; no later client of the project sends `multilingual`.
    """
    return "use_vad" in message or THRESHOLD_FIELD in message


def _switch_threshold(message: Mapping[str, Any]) -> float | None:
    is_multilingual = _flag(message, MULTILINGUAL_FIELD, default=False)
    threshold = _number(message, THRESHOLD_FIELD, SWITCH_THRESHOLD, 0, 1)
    if message.get(THRESHOLD_FIELD) is not None and not is_multilingual:
        raise BadRequest(f"{THRESHOLD_FIELD} needs {MULTILINGUAL_FIELD}: true.")
    return threshold if is_multilingual and _may_switch_language(message) else None


def _language(message: Mapping[str, Any]) -> str | None:
    written = _text(message, "language")
    if is_auto_language(written):
        return None
    code = language_code(written)
    if code is None:
        raise BadRequest(
            f"Unknown language {short_repr(written)}; use a code such as 'en', 'auto' or null."
        )
    return code


def _choice(message: Mapping[str, Any], key: str, allowed: Sequence[str]) -> str:
    """Return an `allowed` word, or "" without one: Chrome's "Select Task" sends an empty task."""
    word = _text(message, key)
    if word and word not in allowed:
        raise BadRequest(f"Unknown {key} {short_repr(word)}; use one of: {', '.join(allowed)}.")
    return word


def _audio_format(message: Mapping[str, Any]) -> PcmFormat | None:
    word = _choice(message, "audio_format", [pcm_format.value for pcm_format in _PCM_FORMATS])
    return PcmFormat(word) if word else None


def _window(message: Mapping[str, Any]) -> int:
    written = _number(message, "send_last_n_segments", DEFAULT_WINDOW, 0, 1_000_000)
    if written != int(written):
        raise BadRequest(f"send_last_n_segments is {written:g}; it must be a whole number.")
    return int(written)


def _vad(message: Mapping[str, Any], defaults: VadOptions) -> VadOptions:
    parameters = message.get("vad_parameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise BadRequest("vad_parameters is not an object.")
    # On by default: without it, silence only costs time and makes the model hallucinate.
    enabled = _flag(message, "use_vad", default=True)
    return vad_options(partial(_number, parameters), defaults, enabled=enabled)


def _text(message: Mapping[str, Any], key: str) -> str:
    value = message.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"{key} is {short_repr(value)}; it must be a string or null.")
    if has_surrogates(value):
        raise BadRequest(f"{key} holds half a character.")
    return value


def _flag(message: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = message.get(key)
    if value is None:
        return default
    if not isinstance(value, int | float):
        raise BadRequest(f"{key} is {short_repr(value)}; it must be true, false or null.")
    return bool(value)


def _number(
    message: Mapping[str, Any], key: str, default: float, lowest: float, highest: float
) -> float:
    value = message.get(key)
    if value is None:
        return default
    # To Python a bool is an int.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{key} is {short_repr(value)}; it must be a number.")
    if not lowest <= value <= highest:
        raise BadRequest(
            f"{key} is {short_repr(value)}; it must be between {lowest:g} and {highest:g}."
        )
    return float(value)
