import math
from dataclasses import replace

import pytest

from whisperlive_hybrid.errors import BadAudio, TooLarge, Unsupported
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.openai.request import AudioRequest, Granularity, ResponseFormat
from whisperlive_hybrid.protocol.openai.response import error_body, model_list, render_transcript
from whisperlive_hybrid.types import DecodeOptions, ScoredToken, Segment, Task, Word

WORDS = (Word(" “Don't", 0.1234567, 0.5, 0.9), Word(" stop!”", 0.5, 1.0, 0.9))
SEGMENT = Segment(0.1234567, 1.0, " “Don't stop!”", (50364, 7, 9), 0.2, -0.3, 0.8, 0.01, WORDS)


def verbose(*granularities: Granularity, task: Task = Task.TRANSCRIBE) -> AudioRequest:
    """A request for verbose_json."""
    return AudioRequest(
        DecodeOptions(task=task),
        response_format=ResponseFormat.VERBOSE_JSON,
        granularities=frozenset(granularities),
    )


def body(request: AudioRequest, duration: float = 8.47) -> dict[str, object]:
    """The JSON answer for `SEGMENT`, spoken in German."""
    made = render_transcript(request, [SEGMENT], "de", duration)
    assert isinstance(made, dict)
    return made


def test_json_is_the_text_and_its_usage() -> None:
    """Optional keys appear only when set; seconds are begun seconds."""
    assert body(AudioRequest()) == {
        "text": "“Don't stop!”",
        "usage": {"type": "duration", "seconds": 9},
    }


def test_logprobs_to_the_letter() -> None:
    """The bytes of a token are true where its text cannot be; nothing is minus infinity."""
    tokens = (ScoredToken(b" Hi", 1.0), ScoredToken(b"\xf0\x9f", 0.25), ScoredToken(b"\x98", 0.0))
    segment = Segment(0, 1, "", (), 0, 0, 0, 0, scored=tokens)
    request = AudioRequest(DecodeOptions(token_probabilities=True))
    made = render_transcript(request, [segment], "en", 1.0)
    assert isinstance(made, dict)
    assert list(made) == ["text", "logprobs", "usage"]
    assert made["logprobs"] == [
        {"token": " Hi", "logprob": 0.0, "bytes": [32, 72, 105]},
        {"token": "\ufffd", "logprob": math.log(0.25), "bytes": [240, 159]},
        {"token": "\ufffd", "logprob": -9999.0, "bytes": [152]},
    ]


def test_languages_are_told_to_those_who_asked_among_which() -> None:
    """By code, and none for a recording without speech."""
    request = AudioRequest(lists_languages=True)
    assert body(request)["languages"] == [{"code": "de"}]
    silence = render_transcript(request, [], "en", 1.0)
    assert isinstance(silence, dict)
    assert silence["languages"] == []


@pytest.mark.parametrize(("duration", "seconds"), [(0.0, 0), (8.0, 8), (8.0001, 8), (8.001, 9)])
def test_usage_counts_begun_seconds(duration: float, seconds: int) -> None:
    """Rounded to milliseconds first, so that one sample too many is not a second."""
    assert body(AudioRequest(), duration)["usage"] == {"type": "duration", "seconds": seconds}


def test_several_languages_are_told_in_order_and_by_segment() -> None:
    """Each once; a segment without one is in that of the recording."""
    said = [replace(SEGMENT, language=each) for each in ("en", "es", "en", None)]
    made = render_transcript(AudioRequest(lists_languages=True), said, "de", 4.0)
    assert isinstance(made, dict)
    assert made["languages"] == [{"code": "en"}, {"code": "es"}, {"code": "de"}]
    made = render_transcript(verbose(Granularity.SEGMENT), said, "en", 4.0)
    assert isinstance(made, dict)
    assert made["language"] == "english"
    segments = made["segments"]
    assert isinstance(segments, list)
    assert [each.get("language") for each in segments] == ["en", "es", "en", None]
    assert "language" not in segments[3]


def test_verbose_json_to_the_letter() -> None:
    """Keys in OpenAI's order, the language by name, the segment's leading space kept."""
    made = body(verbose(Granularity.SEGMENT))
    assert list(made) == ["task", "language", "duration", "text", "segments", "unread", "usage"]
    assert (made["task"], made["language"], made["duration"]) == ("transcribe", "german", 8.47)
    assert made["segments"] == [
        {
            "id": 0,
            "seek": 12,
            "start": 0.123,
            "end": 1.0,
            "text": " “Don't stop!”",
            "tokens": [50364, 7, 9],
            "temperature": 0.2,
            "avg_logprob": -0.3,
            "compression_ratio": 0.8,
            "no_speech_prob": 0.01,
        }
    ]


def test_words_are_bare() -> None:
    """No space or punctuation at the ends; an apostrophe inside belongs to the word."""
    made = body(verbose(Granularity.WORD))
    assert made["words"] == [
        {"word": "Don't", "start": 0.123, "end": 0.5},
        {"word": "stop", "start": 0.5, "end": 1.0},
    ]
    assert list(made) == ["task", "language", "duration", "text", "words", "unread", "usage"]


def test_both_granularities_give_segments_and_words() -> None:
    """In that order."""
    made = body(verbose(Granularity.WORD, Granularity.SEGMENT))
    assert list(made)[4:6] == ["segments", "words"]


def test_speech_without_text_is_listed() -> None:
    """In milliseconds; the list is there where there is none, and only in verbose_json."""
    assert body(verbose(Granularity.SEGMENT))["unread"] == []
    made = render_transcript(verbose(), [SEGMENT], "de", 8.47, [(1.2, 3.00049), (6.0, 8.0)])
    assert isinstance(made, dict)
    assert made["unread"] == [{"start": 1.2, "end": 3.0}, {"start": 6.0, "end": 8.0}]
    plain = render_transcript(AudioRequest(), [SEGMENT], "de", 8.47, [(1.2, 3.0)])
    assert plain == body(AudioRequest())


def test_marks_that_are_spoken_stay_and_lone_ones_are_no_words() -> None:
    """50 % is read aloud, a dash is not."""
    words = (Word(" 50%,", 0, 1, 1.0), Word(" —", 1, 2, 1.0), Word(" well-known.", 2, 3, 1.0))
    segment = Segment(0, 3, " 50%, — well-known.", (), 0, 0, 0, 0, words)
    made = render_transcript(verbose(Granularity.WORD), [segment], "en", 3.0)
    assert isinstance(made, dict)
    assert made["words"] == [
        {"word": "50%", "start": 0, "end": 1},
        {"word": "well-known", "start": 2, "end": 3},
    ]


def test_a_translation_is_in_english() -> None:
    """Whatever was spoken."""
    made = body(verbose(Granularity.SEGMENT, task=Task.TRANSLATE))
    assert (made["task"], made["language"]) == ("translate", "english")


@pytest.mark.parametrize(
    ("response_format", "beginning"),
    [
        (ResponseFormat.TEXT, "“Don't stop!”\n"),
        (ResponseFormat.SRT, "1\n00:00:00,123 --> 00:00:01,000\n"),
        (ResponseFormat.VTT, "WEBVTT\n\n00:00:00.123 --> 00:00:01.000\n"),
    ],
)
def test_files_are_plain_strings(response_format: ResponseFormat, beginning: str) -> None:
    """Text and subtitles are no JSON."""
    made = render_transcript(AudioRequest(response_format=response_format), [SEGMENT], "de", 8.47)
    assert isinstance(made, str)
    assert made.startswith(beginning)


def test_errors_have_all_four_keys() -> None:
    """Clients read each of them, null or not."""
    assert error_body(BadAudio("Too short.", param="file", code="audio_too_short")) == {
        "error": {
            "message": "Too short.",
            "type": "invalid_request_error",
            "param": "file",
            "code": "audio_too_short",
        }
    }
    assert error_body(Unsupported("No.", param="stream")) == {
        "error": {
            "message": "No.",
            "type": "invalid_request_error",
            "param": "stream",
            "code": "unsupported_value",
        }
    }


def test_too_large_has_openais_body() -> None:
    """A server_error with a usage of nothing beside it, as in OpenAI's own replies."""
    assert error_body(TooLarge("Too large.")) == {
        "error": {"message": "Too large.", "type": "server_error", "param": None, "code": None},
        "usage": {"type": "duration", "seconds": 0},
    }


def test_a_defect_is_a_server_error() -> None:
    """Without a word about its cause."""
    assert error_body(KeyError("/etc/secret")) == {
        "error": {
            "message": "The server failed to handle this request.",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    }


def test_models_are_those_that_are_served() -> None:
    """The loaded model comes first, so a client that takes the first one is right."""
    listed = model_list(ModelNames("Systran/tiny", ("small",)), 1_700_000_000)
    assert listed["object"] == "list"
    cards = listed["data"]
    assert isinstance(cards, list)
    assert cards[0] == {
        "id": "Systran/tiny",
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "whisperlive-hybrid",
        "shutdown_date": None,
    }
    assert [card["id"] for card in cards] == ["Systran/tiny", "small"]
