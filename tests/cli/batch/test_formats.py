"""What is written: the answers of the HTTP server, as files."""

import json

import pytest

from whisperlive_hybrid.cli.batch.formats import (
    BatchRequest,
    OutputFormat,
    parse_formats,
    render_all,
    to_pretty_json,
)
from whisperlive_hybrid.transcribe import Transcript
from whisperlive_hybrid.types import DecodeOptions, Language, Segment, Word

SEGMENT = Segment(
    start=0.5,
    end=2.25,
    text=" Grüß dich.",
    tokens=(1, 2),
    temperature=0.0,
    avg_logprob=-0.1,
    compression_ratio=0.9,
    no_speech_prob=0.01,
    words=(Word(" Grüß", 0.5, 1.0, 0.9), Word(" dich.", 1.0, 2.25, 0.8)),
)
TRANSCRIPT = Transcript(
    (SEGMENT,), Language("de", 1.0), duration=3.0, speech=2.0, unread=((2.25, 2.9),)
)


def test_every_format_has_its_own_shape() -> None:
    """A final newline each; JSON with letters as they are, and word times if they were wanted."""
    request = BatchRequest(DecodeOptions(words=True), tuple(OutputFormat))
    texts = render_all(TRANSCRIPT, request)
    assert texts.duration == 3.0
    assert texts.by_format[OutputFormat.TXT] == "Grüß dich.\n"
    assert texts.by_format[OutputFormat.SRT] == "1\n00:00:00,500 --> 00:00:02,250\nGrüß dich.\n\n"
    assert texts.by_format[OutputFormat.VTT].startswith("WEBVTT\n\n00:00:00.500 --> ")
    text = texts.by_format[OutputFormat.JSON]
    assert "Grüß dich" in text
    body = json.loads(text)
    assert body["language"] == "german"
    assert [word["word"] for word in body["words"]] == ["Grüß", "dich"]
    assert body["unread"] == [{"start": 2.25, "end": 2.9}]
    assert to_pretty_json(body) == text  # as a client of the server writes the same answer
    without = render_all(TRANSCRIPT, BatchRequest(DecodeOptions(), (OutputFormat.JSON,)))
    assert "words" not in json.loads(without.by_format[OutputFormat.JSON])


def test_formats_are_named_in_any_way() -> None:
    """Each once, in the order given."""
    assert parse_formats(" SRT,txt,srt,") == (OutputFormat.SRT, OutputFormat.TXT)
    assert parse_formats("Text,txt") == (OutputFormat.TXT,)
    with pytest.raises(ValueError, match="docx"):
        parse_formats("txt,docx")
    for nothing in ("", " ", ","):
        with pytest.raises(ValueError, match="no format"):
            parse_formats(nothing)
