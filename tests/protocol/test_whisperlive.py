import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whisperlive_hybrid.audio.pcm import PcmFormat
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol import whisperlive as wire
from whisperlive_hybrid.protocol.live import Audio, BadHandshake, EndOfAudio
from whisperlive_hybrid.protocol.whisperlive import (
    Handshake,
    SegmentWriter,
    parse_frame,
    parse_handshake,
)
from whisperlive_hybrid.speech.regions import LIVE_VAD, live_vad
from whisperlive_hybrid.text.language import SWITCH_THRESHOLD
from whisperlive_hybrid.types import Language, Segment, Task, Word

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"

PYTHON_0_10: dict[str, object] = {
    "uid": UID,
    "language": None,
    "task": "transcribe",
    "model": "small",
    "use_vad": True,
    "send_last_n_segments": 10,
    "no_speech_thresh": 0.45,
    "clip_audio": False,
    "same_output_threshold": 10,
    "enable_translation": False,
    "target_language": "fr",
    "hotwords": None,
    "enable_diarization": False,
    "max_speakers": 10,
    "known_speakers": [],
    "word_timestamps": False,
    "initial_prompt": None,
    "vad_parameters": None,
}
PYTHON_0_8 = {
    key: PYTHON_0_10[key]
    for key in (
        *("uid", "language", "task", "model", "use_vad", "send_last_n_segments"),
        *("no_speech_thresh", "clip_audio", "same_output_threshold"),
        *("enable_translation", "target_language"),
    )
}
PYTHON_0_6 = {
    "uid": UID,
    "language": "en",
    "task": "transcribe",
    "model": "small",
    "use_vad": True,
    "max_clients": 4,
    "max_connection_time": 600,
}
PYTHON_0_0_11 = {
    "multilingual": True,
    "language": "en",
    "task": "transcribe",
    "uid": UID,
    "model_size": "small",
}
FIREFOX_0_0_11 = {
    "uid": UID,
    "multilingual": True,
    "language": None,
    "task": "transcribe",
    "model": "small",
}
CHROME = {"uid": UID, "language": None, "task": "", "model": "", "use_vad": True}
FIREFOX = {"uid": UID, "language": "de", "task": "translate", "model": "small", "use_vad": False}
IOS = {
    "uid": UID.upper(),
    "language": "en",
    "task": "transcribe",
    "model": "medium",
    "use_vad": True,
    "max_clients": 4,
    "max_connection_time": 600,
}


def parsed(**keys: object) -> Handshake:
    """Parse a handshake with these keys beside the uid."""
    return parse_handshake(json.dumps({"uid": UID, **keys}))


def answer(frame: str | bytes) -> str:
    """Answer a handshake as the server does."""
    try:
        return wire.ready_message(parse_handshake(frame).uid, "base")
    except BadHandshake as refusal:
        return wire.error_message(refusal.uid, refusal.message)


def segment(start: float, end: float, text: str = " hi", *words: Word) -> Segment:
    """Make a segment on the recording clock."""
    return Segment(start, end, text, (), 0.0, -0.1, 1.0, 0.0, words or None)


def shown(frame: str | None) -> list[dict[str, Any]]:
    """Return the segments of a message that must be there."""
    assert frame is not None
    segments: list[dict[str, Any]] = json.loads(frame)["segments"]
    return segments


class TestHandshake:
    """The first message of a client."""

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            (PYTHON_0_10, Handshake(UID, model="small")),
            (PYTHON_0_8, Handshake(UID, model="small")),
            (PYTHON_0_6, Handshake(UID, language="en", model="small")),
            (
                PYTHON_0_0_11,
                Handshake(UID, language="en", model="small", has_old_multilingual=True),
            ),
            (
                FIREFOX_0_0_11,
                Handshake(UID, model="small", has_old_multilingual=True),
            ),
            (CHROME, Handshake(UID)),
            (
                FIREFOX,
                Handshake(
                    UID,
                    language="de",
                    task=Task.TRANSLATE,
                    model="small",
                    vad=replace(LIVE_VAD, enabled=False),
                ),
            ),
            (IOS, Handshake(UID.upper(), language="en", model="medium")),
            ({"uid": UID}, Handshake(UID)),
            ({}, Handshake(None)),
        ],
        ids=[
            *("python 0.10.0", "python 0.8", "python 0.6", "python 0.0.11", "firefox of 2023"),
            *("chrome", "firefox", "ios", "uid alone", "nothing"),
        ],
    )
    @pytest.mark.parametrize("as_bytes", [False, True], ids=["text", "binary"])
    def test_client(
        self, message: dict[str, object], expected: Handshake, *, as_bytes: bool
    ) -> None:
        """What each client in the field sends is understood, as a text and as a binary frame."""
        frame = json.dumps(message)
        assert parse_handshake(frame.encode() if as_bytes else frame) == expected

    @pytest.mark.parametrize(
        ("key", "attribute", "default"),
        [
            ("language", "language", None),
            ("task", "task", Task.TRANSCRIBE),
            ("model", "model", ""),
            ("use_vad", "vad", LIVE_VAD),
            ("vad_parameters", "vad", LIVE_VAD),
            ("audio_format", "audio_format", None),
            ("send_last_n_segments", "window", 10),
            ("no_speech_thresh", "no_speech_thresh", 0.45),
            ("word_timestamps", "word_timestamps", False),
            ("hotwords", "hotwords", ""),
            ("initial_prompt", "initial_prompt", ""),
            ("enable_translation", "unsupported", ()),
            ("enable_diarization", "unsupported", ()),
            ("known_speakers", "unsupported", ()),
        ],
    )
    def test_absent_is_null_is_default(self, key: str, attribute: str, default: object) -> None:
        """Every key may be absent or null, which mean the same default."""
        assert getattr(parsed(), attribute) == default
        assert getattr(parsed(**{key: None}), attribute) == default

    def test_the_server_decides_when_utterances_end_where_the_client_does_not(self) -> None:
        """And a client that names one thing leaves the others to the server."""
        vad = live_vad(0.3)
        assert vad.min_silence_s == 0.3
        assert live_vad(1.0) == LIVE_VAD
        assert parse_handshake("{}", vad).vad == vad
        handshake = json.dumps({"vad_parameters": {"threshold": 0.3}})
        assert parse_handshake(handshake, vad).vad == replace(vad, threshold=0.3)
        handshake = json.dumps({"vad_parameters": {"min_silence_duration_ms": 700}})
        assert parse_handshake(handshake, vad).vad.min_silence_s == 0.7

    @pytest.mark.parametrize(
        ("keys", "attribute", "value"),
        [
            ({"language": "EN"}, "language", "en"),
            ({"language": "Auto"}, "language", None),
            ({"language": "pt-BR"}, "language", "pt"),
            ({"multilingual": True, "use_vad": True}, "switch_threshold", SWITCH_THRESHOLD),
            (
                {"multilingual": True, "language_detection_threshold": 0.4},
                "switch_threshold",
                0.4,
            ),
            ({"multilingual": True}, "switch_threshold", None),
            ({"multilingual": False, "use_vad": True}, "switch_threshold", None),
            ({"task": "translate"}, "task", Task.TRANSLATE),
            ({"model": "large-v3"}, "model", "large-v3"),
            ({"model_size": "tiny"}, "model", "tiny"),
            ({"use_vad": False}, "vad", replace(LIVE_VAD, enabled=False)),
            ({"vad_parameters": {"threshold": 0.3}}, "vad", replace(LIVE_VAD, threshold=0.3)),
            (
                {"vad_parameters": {"min_silence_duration_ms": 250, "speech_pad_ms": 100}},
                "vad",
                replace(LIVE_VAD, min_silence_s=0.25, pre_roll_s=0.1),
            ),
            ({"audio_format": "float32"}, "audio_format", PcmFormat.FLOAT32),
            ({"audio_format": "int16"}, "audio_format", PcmFormat.INT16),
            ({"audio_format": "uint8"}, "audio_format", PcmFormat.UINT8),
            ({"send_last_n_segments": 3}, "window", 3),
            ({"send_last_n_segments": 0}, "window", 0),
            ({"no_speech_thresh": 1}, "no_speech_thresh", 1.0),
            ({"word_timestamps": True}, "word_timestamps", True),
            ({"hotwords": "Anna, Oscar"}, "hotwords", "Anna, Oscar"),
            ({"initial_prompt": "At home."}, "initial_prompt", "At home."),
            ({"enable_diarization": True}, "unsupported", ("enable_diarization",)),
            ({"known_speakers": [{"name": "A"}]}, "unsupported", ("known_speakers",)),
        ],
    )
    def test_wish_is_honoured(self, keys: dict[str, object], attribute: str, value: object) -> None:
        """A key that a client sends decides what it names, and nothing else."""
        handshake = parsed(**keys)
        assert getattr(handshake, attribute) == value
        others = {"uid", "language", "task", "model", "vad", "audio_format", "window"} - {attribute}
        assert all(getattr(handshake, each) == getattr(parsed(), each) for each in others)

    @pytest.mark.parametrize(
        "keys",
        [
            *({"max_clients": 4}, {"max_connection_time": 600}, {"multilingual": False}),
            *({"clip_audio": True}, {"same_output_threshold": 7}, {"target_language": "fr"}),
            *({"max_speakers": 2}, {"hf_token": "x"}, {"diarization_threshold": 0.5}),
            {"what comes": {"next": [1, 2]}},
        ],
        ids=lambda keys: next(iter(keys)),
    )
    def test_unknown_is_ignored(self, keys: dict[str, object]) -> None:
        """Keys that mean nothing here change nothing, whatever they hold."""
        assert parsed(**keys) == parsed()

    @pytest.mark.parametrize(
        ("keys", "named"),
        [
            ({"language": "klingon"}, "klingon"),
            ({"language": 7}, "language"),
            ({"language": ["en"]}, "language"),
            ({"multilingual": "yes"}, "multilingual"),
            ({"language_detection_threshold": 0.5}, "needs multilingual"),
            (
                {"multilingual": True, "language_detection_threshold": 7},
                "language_detection_threshold",
            ),
            ({"task": "sing"}, "transcribe, translate"),
            ({"task": True}, "task"),
            ({"use_vad": "no"}, "use_vad"),
            ({"use_vad": []}, "use_vad"),
            ({"model": 1}, "model"),
            ({"audio_format": "mp3"}, "float32, int16, uint8"),
            ({"send_last_n_segments": True}, "send_last_n_segments"),
            ({"send_last_n_segments": "10"}, "send_last_n_segments"),
            ({"send_last_n_segments": -1}, "send_last_n_segments"),
            ({"send_last_n_segments": 10**30}, "send_last_n_segments"),
            ({"no_speech_thresh": False}, "no_speech_thresh"),
            ({"no_speech_thresh": 1.5}, "no_speech_thresh"),
            ({"vad_parameters": [0.5]}, "vad_parameters"),
            ({"vad_parameters": {"threshold": "high"}}, "threshold"),
            ({"vad_parameters": {"threshold": 0}}, "threshold"),
            ({"word_timestamps": "false"}, "word_timestamps"),
            ({"hotwords": ["Anna"]}, "hotwords"),
            ({"initial_prompt": {}}, "initial_prompt"),
            ({"initial_prompt": "a \ud800"}, "initial_prompt"),
            ({"hotwords": "\udfff"}, "hotwords"),
            ({"send_last_n_segments": 1.5}, "send_last_n_segments"),
            ({"vad_parameters": []}, "vad_parameters"),
        ],
    )
    def test_nonsense_is_refused(self, keys: dict[str, object], named: str) -> None:
        """A value that means nothing is refused by name, to the client that sent it."""
        with pytest.raises(BadHandshake, match=named) as refusal:
            parsed(**keys)
        assert refusal.value.uid == UID

    @pytest.mark.parametrize("key", ["use_vad", "word_timestamps"])
    @pytest.mark.parametrize("number", [0, 1])
    def test_numbers_are_flags_too(self, key: str, number: int) -> None:
        """Hand-written clients say 0 and 1 where others say false and true."""
        assert parsed(**{key: number}) == parsed(**{key: bool(number)})

    @pytest.mark.parametrize(
        "frame",
        [
            *("", "hello", "{", "[" * 200, '{"a":' * 200, b"\xff\xfe\xfd", b"\x00" * 64),
            *('{"uid": NaN}', '{"uid": "u", "no_speech_thresh": Infinity}', "9" * 10_000),
        ],
        ids=[
            *("empty", "word", "torn", "deep list", "deep object", "wrong UTF-8", "zeros"),
            *("NaN", "infinity", "endless number"),
        ],
    )
    def test_not_json(self, frame: str | bytes) -> None:
        """What is not JSON is refused in one line; no answer could carry a uid."""
        with pytest.raises(BadHandshake, match=r"^The handshake is not JSON\.$") as refusal:
            parse_handshake(frame)
        assert refusal.value.uid is None

    @pytest.mark.parametrize(
        ("frame", "why"),
        [
            ("[" * 100_000, "has more than 256 lists and objects"),
            ('{"a":' * 100_000, "has more than 256 lists and objects"),
            (b"[" * 20 + b"]" * 20, "is nested deeper than 16 levels"),
            (f'{{"uid": "u", "known_speakers": "{"A" * 2**20}"}}', "is longer than 1048576 bytes"),
        ],
        ids=["deep list", "deep object", "nest", "long"],
    )
    def test_too_much(self, frame: str | bytes, why: str) -> None:
        """What would take long to read is not read; it happens on the loop that serves all."""
        with pytest.raises(BadHandshake, match=rf"^The handshake {why}\.$"):
            parse_handshake(frame)

    def test_voices_of_speakers_fit(self) -> None:
        """`known_speakers` brings recordings, as much as the reference takes."""
        voices = [{"name": f"{n}", "audio_base64": "A" * 90_000} for n in range(10)]
        assert parsed(known_speakers=voices).unsupported == ("known_speakers",)

    def test_uid_goes_out_with_every_message(self) -> None:
        """So it has a length."""
        assert parsed(uid="u" * 1024).uid == "u" * 1024
        with pytest.raises(BadHandshake, match="uid is longer than 1024 characters"):
            parsed(uid="u" * 1025)

    @pytest.mark.parametrize("frame", ["[]", "null", "3", '"uid"', "true", '[{"uid": 1}]'])
    def test_not_an_object(self, frame: str) -> None:
        """JSON that is not an object is refused."""
        with pytest.raises(BadHandshake, match="not a JSON object"):
            parse_handshake(frame)

    @pytest.mark.parametrize("depth", [50, 300, 900, 2000, 20_000])
    def test_deep_values_never_overflow(self, depth: int) -> None:
        """However deep a value is nested, it is refused, or its uid can be written again."""
        deep = "[" * depth + "]" * depth
        for key in ("uid", "language", "vad_parameters", "unknown"):
            assert answer(f'{{"{key}": {deep}}}')

    @pytest.mark.parametrize("uid", ["[]", "{}", "0.5", "1e400"])
    def test_uid_that_cannot_be_echoed(self, uid: str) -> None:
        """A uid that JSON might not give back as it came is refused."""
        with pytest.raises(BadHandshake, match="uid") as refusal:
            parse_handshake(f'{{"uid": {uid}}}')
        assert refusal.value.uid is None

    def test_refusal_is_short(self) -> None:
        """A huge value is not sent back whole."""
        for keys in ({"language": "x" * 10**6}, {"no_speech_thresh": list(range(10**5))}):
            with pytest.raises(BadHandshake) as refusal:
                parsed(**keys)
            assert len(refusal.value.message) < 500

    @given(st.text())
    @example("\ud800")  # half a character: JSON can write it, UTF-8 can not
    def test_uid_is_echoed_verbatim(self, uid: str) -> None:
        """Whatever string the uid is, every message carries it and can be sent as UTF-8."""
        echoed = parse_handshake(json.dumps({"uid": uid})).uid
        writer = SegmentWriter(echoed, window=1)
        frames = [
            *(
                wire.ready_message(echoed, "base"),
                wire.error_message(echoed, "no"),
                wire.wait_message(echoed, 0.5),
            ),
            *(wire.disconnect_message(echoed), wire.language_message(echoed, Language("en", 0.9))),
            writer.render([segment(0, 1)], None),
        ]
        for frame in frames:
            assert frame is not None
            assert json.loads(frame.encode())["uid"] == uid

    @given(
        st.dictionaries(
            st.sampled_from([*PYTHON_0_10, "audio_format", "model_size"]),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=5,
            ),
        )
    )
    def test_any_object_is_read_or_refused(self, message: dict[str, object]) -> None:
        """No object whatever raises anything but a refusal that can be sent."""
        assert json.loads(answer(json.dumps(message)))["message"]


class TestReceive:
    """Frames after the handshake."""

    @pytest.mark.parametrize("frame", ["END_OF_AUDIO", b"END_OF_AUDIO"], ids=["text", "binary"])
    def test_end_of_audio(self, frame: str | bytes) -> None:
        """Python clients end in a binary frame, the iOS client in a text frame."""
        assert parse_frame(frame) == EndOfAudio()

    @pytest.mark.parametrize(
        "payload", [b"", b"\x00", b"END_OF_AUDI", b"END_OF_AUDIO ", b"\x00" * 4096]
    )
    def test_all_other_bytes_are_audio(self, payload: bytes) -> None:
        """Only the exact payload ends a stream."""
        assert parse_frame(payload) == Audio(payload)

    @pytest.mark.parametrize("frame", ["", "end_of_audio", "{}", "END_OF_AUDIO\n"])
    def test_other_text_is_refused(self, frame: str) -> None:
        """Text after the handshake means nothing."""
        with pytest.raises(BadRequest, match="END_OF_AUDIO"):
            parse_frame(frame)


class TestMessages:
    """Everything that is sent but segments."""

    def test_r1_backend_is_faster_whisper(self) -> None:
        """Clients keep no transcript for a backend of any other name."""
        assert json.loads(wire.ready_message(UID, "base")) == {
            "uid": UID,
            "message": "SERVER_READY",
            "backend": "faster_whisper",
            "model": "base",
        }

    def test_r2_only_wait_and_error_have_a_status(self) -> None:
        """A client that sees `status` looks no further, so nothing else may carry it."""
        wait, error = (
            json.loads(wire.wait_message(UID, 9.9988)),
            json.loads(wire.error_message(UID, "no")),
        )
        assert wait == {"uid": UID, "status": "WAIT", "message": 9.9988}
        assert error == {"uid": UID, "status": "ERROR", "message": "no"}
        others = [
            *(wire.ready_message(UID, "base"), wire.disconnect_message(UID)),
            wire.language_message(UID, Language("en", 0.9)),
        ]
        assert all("status" not in json.loads(frame) for frame in others)

    def test_language_travels_alone(self) -> None:
        """A client that sees `language` looks no further, so no segments ride with it."""
        assert json.loads(wire.language_message(UID, Language("de", 0.75))) == {
            "uid": UID,
            "language": "de",
            "language_prob": 0.75,
        }

    def test_disconnect(self) -> None:
        """The message of a used-up connection time is the reference's."""
        assert json.loads(wire.disconnect_message(UID)) == {"uid": UID, "message": "DISCONNECT"}


class TestSegments:
    """The messages of text."""

    def test_message_has_no_other_keys(self) -> None:
        """A message with segments carries the uid and nothing that clients would take first."""
        frame = SegmentWriter(UID, 10).render([segment(0, 1)], segment(1, 2))
        assert frame is not None
        assert set(json.loads(frame)) == {"uid", "segments"}

    def test_r3_never_empty(self) -> None:
        """With nothing to show there is no message: clients index the last segment."""
        writer = SegmentWriter(UID, 10)
        assert writer.render([], None) is None
        assert writer.render([], segment(0, 1)) is not None
        assert writer.render([], None) is None

    def test_r4_times_are_strings_with_three_decimals(self) -> None:
        """Times are written as iOS parses them, even at round seconds and after hours."""
        (first,) = shown(SegmentWriter(UID, 10).render([segment(0, 18)], None))
        assert (first["start"], first["end"]) == ("0.000", "18.000")
        (late,) = shown(SegmentWriter(UID, 10).render([segment(7200.0004, 7201.23456)], None))
        assert (late["start"], late["end"]) == ("7200.000", "7201.235")

    def test_r5_rounding_makes_no_overlap(self) -> None:
        """A start that would round below the end before it is that very end."""
        writer = SegmentWriter(UID, 10)
        first, second = shown(writer.render([segment(0.0, 1.0006), segment(1.0004, 2.0)], None))
        assert first["end"] == second["start"] == "1.001"

    def test_r6_text_begins_with_one_space(self) -> None:
        """Whether or not the model wrote it, there is one leading space, and none behind."""
        writer = SegmentWriter(UID, 10)
        texts = ["yes", " yes", "  yes "]
        entries = shown(writer.render([segment(i, i + 1, t) for i, t in enumerate(texts)], None))
        assert [entry["text"] for entry in entries] == [" yes", " yes", " yes"]

    def test_r7_every_segment_says_whether_it_is_completed(self) -> None:
        """`completed` is a boolean in each segment, false only in the last."""
        entries = shown(
            SegmentWriter(UID, 10).render([segment(0, 1), segment(1, 2)], segment(2, 3))
        )
        assert [entry["completed"] for entry in entries] == [True, True, False]

    @pytest.mark.parametrize("window", [1, 3, 10])
    def test_r8_sliding_window(self, window: int) -> None:
        """A message carries the last n completed segments and at most one more, last."""
        writer = SegmentWriter(UID, window)
        for i in range(15):
            entries = shown(
                writer.render([segment(i, i + 1, f" c{i}")], segment(i + 1, i + 2, " t"))
            )
            expected = [f" c{k}" for k in range(max(0, i + 1 - window), i + 1)]
            assert [entry["text"] for entry in entries] == [*expected, " t"]

    def test_r8_zero_is_everything(self) -> None:
        """A window of 0 is the whole transcript, as in the reference."""
        writer = SegmentWriter(UID, 0)
        for i in range(40):
            assert len(shown(writer.render([segment(i, i + 1)], None))) == i + 1

    def test_r8_a_burst_is_shown_as_far_as_the_window_reaches(self) -> None:
        """More segments at once than the window holds leave the newest of them."""
        entries = shown(
            SegmentWriter(UID, 2).render([segment(i, i + 1, f" {i}") for i in range(5)], None)
        )
        assert [entry["text"] for entry in entries] == [" 3", " 4"]

    def test_r9_start_survives_completion(self) -> None:
        """The iOS client keys by `start`: the first completed segment keeps the tentative's."""
        writer = SegmentWriter(UID, 10)
        writer.render([], segment(1.04, 2.0, " guess"))
        writer.render([], segment(1.1, 2.5, " better guess"))
        entries = shown(writer.render([segment(1.2, 2.0, " a"), segment(2.0, 3.0, " b")], None))
        assert [entry["start"] for entry in entries] == ["1.040", "2.000"]

    def test_r9_a_withdrawn_guess_lends_no_start(self) -> None:
        """A guess that came to nothing does not pull the next utterance to its start."""
        writer = SegmentWriter(UID, 10)
        writer.render([], segment(1.0, 2.0, " cough"))
        writer.render([], None)
        (entry,) = shown(writer.render([segment(8.0, 9.0)], None))
        assert entry["start"] == "8.000"

    @pytest.mark.parametrize("guess", [" a b", " x", " b", None])
    def test_last_guess_is_what_completes(self, guess: str | None) -> None:
        """The Python client keeps the last guess it saw, unless it equals what was completed."""
        writer = SegmentWriter(UID, 10)
        if guess:
            writer.render_update([], segment(0, 1, guess))
        frames = writer.render_update([segment(0, 1, " a"), segment(1, 2, " b")], None)
        shapes = [[(s["text"], s["completed"]) for s in shown(frame)] for frame in frames]
        first = [[(" a", True), (" b", False)]] if guess in {" a b", " x"} else []
        assert shapes == [*first, [(" a", True), (" b", True)]]

    def test_an_old_guess_is_replaced_too(self) -> None:
        """A guess at the utterance before is as wrong at the end as one at the last."""
        writer = SegmentWriter(UID, 10)
        writer.render_update([], segment(0, 1, " a"))
        assert len(writer.render_update([segment(0, 1, " a")], None)) == 1
        assert len(writer.render_update([segment(1, 2, " b")], None)) == 2

    def test_identical_messages_are_suppressed(self) -> None:
        """Nothing waits for repetitions, so nothing is repeated."""
        writer = SegmentWriter(UID, 10)
        assert writer.render([segment(0, 1)], segment(1, 2, " t")) is not None
        assert writer.render([], segment(1, 2, " t")) is None
        assert writer.render([], segment(1, 2, " tt")) is not None

    def test_words(self) -> None:
        """Word times are strings, probabilities have four digits; without words no key."""
        word = Word(" And", 0.3, 0.5204, 0.973123)
        entry, plain = shown(
            SegmentWriter(UID, 10).render([segment(0, 1, " And", word)], segment(1, 2))
        )
        assert entry["words"] == [
            {"word": " And", "start": "0.300", "end": "0.520", "probability": 0.9731}
        ]
        assert "words" not in plain

    @given(
        st.lists(
            st.tuples(
                st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), max_size=3),
                st.none() | st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)),
            ),
            max_size=20,
        )
    )
    def test_r5_r9_hold_for_any_segments(
        self,
        steps: Sequence[tuple[Sequence[tuple[float, float]], tuple[float, float] | None],],
    ) -> None:
        """Whatever the model's times: completed ones never overlap, run backwards or change."""
        writer = SegmentWriter(UID, 0)
        before: list[dict[str, Any]] = []
        for completed, tentative in steps:
            frame = writer.render(
                [segment(start, end) for start, end in completed],
                segment(*tentative) if tentative else None,
            )
            if frame is None:
                continue
            entries = shown(frame)
            now = [entry for entry in entries if entry["completed"]]
            assert now[: len(before)] == before
            before = now
            times = [float(entry[key]) for entry in entries for key in ("start", "end")]
            assert all(a <= b for a, b in pairwise(times))


def test_r11_a_completed_text_was_incomplete_before() -> None:
    """R11: the Python client appends the last incomplete text for ever if it never completed."""
    writer = SegmentWriter("u", 10)
    writer.render_update([], segment(0.0, 1.0, " the cat"))
    first, second = writer.render_update([segment(0.0, 1.2, " the cat sleeps")], None)
    assert [(each["text"], each["completed"]) for each in shown(first)] == [
        (" the cat sleeps", False)
    ]
    assert [(each["text"], each["completed"]) for each in shown(second)] == [
        (" the cat sleeps", True)
    ]


def test_r11_costs_nothing_where_no_client_remembers_anything_else() -> None:
    """R11: without an incomplete text, or with the very same one, there is one message."""
    writer = SegmentWriter("u", 10)
    assert len(writer.render_update([segment(0.0, 1.0, " yes")], None)) == 1
    writer.render_update([], segment(2.0, 3.0, " no"))
    assert len(writer.render_update([segment(2.0, 3.0, " no")], None)) == 1
    assert writer.render_update([], None) == []


def test_no_two_completed_segments_have_the_same_start() -> None:
    """A segment that the model gave no length still gets one, since clients key by start."""
    writer = SegmentWriter("u", 10)
    frame = writer.render([segment(1.0, 1.0, " a"), segment(1.0, 1.0, " b")], None)
    assert [(each["start"], each["end"]) for each in shown(frame)] == [
        ("1.000", "1.001"),
        ("1.001", "1.002"),
    ]
