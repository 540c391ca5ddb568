from typing import Any

import pytest

from whisperlive_hybrid.errors import BadRequest, NotFound
from whisperlive_hybrid.protocol import legacy
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.types import DecodeOptions, Language, Segment, Task

MODELS = ModelNames("tiny")


def test_fields_become_options() -> None:
    """Language and task are optional; the model may be named."""
    assert legacy.parse_request([], MODELS) == legacy.LegacyRequest("tiny", DecodeOptions())
    fields = [("language", "German"), ("task", "translate"), ("model", "tiny")]
    request = legacy.parse_request(fields, MODELS)
    assert request.options == DecodeOptions(language="de", task=Task.TRANSLATE)
    assert request.audio_track is None
    assert legacy.parse_request([("audio_track", "1")], MODELS).audio_track == 1


def test_several_languages_are_an_option_and_are_told() -> None:
    """By segment; the options in effect are named as they are asked for."""
    fields = [("multilingual", "true"), ("language_detection_threshold", "0.6")]
    request = legacy.parse_request(fields, MODELS)
    assert request.options == DecodeOptions(switch_threshold=0.6)
    segment = Segment(0.0, 2.5, " Hallo.", (), 0.0, -0.1, 1.0, 0.1, language="de")
    recording = legacy.LegacyTranscript([segment], Language("en", 0.95), 10.5, 9.25, "audio.wav")
    body: Any = legacy.render_transcript(recording, request.options, "base")
    assert body["segments"][0]["language"] == "de"
    options = body["info"]["transcription_options"]
    assert (options["multilingual"], options["language_detection_threshold"]) == (True, 0.6)


def test_nonsense_is_refused() -> None:
    """As strictly as anywhere else."""
    with pytest.raises(BadRequest, match="'sing'; it must be one of: transcribe, translate"):
        legacy.parse_request([("task", "sing")], MODELS)
    with pytest.raises(BadRequest, match="'prompt'; the fields are: file, language, task, model"):
        legacy.parse_request([("prompt", "x")], MODELS)
    with pytest.raises(NotFound):
        legacy.parse_request([("model", "base")], MODELS)


def test_a_url_comes_with_the_same_options() -> None:
    """It is required; blanks around it come from pasting."""
    url, request = legacy.parse_url_request(
        [("language", "de"), ("url", " http://a/b.wav\n")], MODELS
    )
    assert url == "http://a/b.wav"
    assert request == legacy.parse_request([("language", "de")], MODELS)
    for missing in ([], [("url", " ")]):
        with pytest.raises(BadRequest) as refusal:
            legacy.parse_url_request(missing, MODELS)
        assert refusal.value.code == "missing_required_parameter"
    with pytest.raises(BadRequest, match="was given 2 times"):
        legacy.parse_url_request([("url", "http://a/")] * 2, MODELS)
    with pytest.raises(BadRequest, match="'sing'"):
        legacy.parse_url_request([("url", "http://a/"), ("task", "sing")], MODELS)


def test_the_documented_body() -> None:
    """Key by key what deployments rely on: text stripped, options as plain values."""
    segment = Segment(0.0, 2.5, " Hello, this is a test.", (), 0.0, -0.1, 1.0, 0.1)
    recording = legacy.LegacyTranscript([segment], Language("en", 0.95), 10.5, 9.25, "audio.wav")
    body = legacy.render_transcript(recording, DecodeOptions(task=Task.TRANSLATE), "base")
    info = body["info"]
    assert isinstance(info, dict)
    options = info.pop("transcription_options")
    assert body == {
        "success": True,
        "segments": [
            {"start": 0.0, "end": 2.5, "text": "Hello, this is a test.", "no_speech_prob": 0.1}
        ],
        "info": {
            "language": "en",
            "language_probability": 0.95,
            "duration": 10.5,
            "model": "base",
            "duration_after_vad": 9.25,
        },
        "filename": "audio.wav",
    }
    assert options["task"] == "translate"
    assert options["beam_size"] == 5
    assert options["thresholds"]["no_speech"] == 0.6


def test_the_shape_of_an_error() -> None:
    """Success is false, and the message is there."""
    assert legacy.error_body(BadRequest("No.")) == {"success": False, "error": "No."}
