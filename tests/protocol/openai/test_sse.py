import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.errors import BackendFailed
from whisperlive_hybrid.protocol.openai.request import AudioRequest
from whisperlive_hybrid.protocol.openai.sse import EventWriter, render_error
from whisperlive_hybrid.types import DecodeOptions, ScoredToken, Segment, join_text


def segment(text: str, *tokens: int) -> Segment:
    """A segment that says this."""
    return Segment(0.0, 1.0, text, tokens, 0.0, -0.1, 1.0, 0.0)


def events(frames: str) -> list[dict[str, Any]]:
    """Frames as a client reads them: nothing but data lines, each followed by a blank one."""
    lines = frames.split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@given(st.lists(st.lists(st.text(alphabet=" \n\r\u2028aä🎵", max_size=4), max_size=3), max_size=6))
def test_the_pieces_are_the_whole_letter_by_letter(windows: list[list[str]]) -> None:
    """However white space lies among them; and no piece is empty."""
    writer = EventWriter(AudioRequest())
    read = [[segment(text) for text in window] for window in windows]
    pieces = [event for window in read for event in events(writer.write_delta(window))]
    everything = [each for window in read for each in window]
    (done,) = events(writer.write_done(everything, "en", 1.0))
    assert {piece["type"] for piece in pieces} <= {"transcript.text.delta"}
    assert all(piece["delta"] for piece in pieces)
    assert "".join(piece["delta"] for piece in pieces) == done["text"] == join_text(everything)


def test_the_last_event_to_the_letter() -> None:
    """Usage in tokens: encoder positions of 20 ms in, what the decoder wrote out."""
    said = [segment(" Hi.", 1100, 7, 8, 1150)]
    (done,) = events(EventWriter(AudioRequest()).write_done(said, "en", 1.011))
    assert done == {
        "type": "transcript.text.done",
        "text": "Hi.",
        "usage": {
            "type": "tokens",
            "input_tokens": 51,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 51},
            "output_tokens": 4,
            "total_tokens": 55,
        },
    }


def test_logprobs_are_with_the_text_they_belong_to() -> None:
    """Each piece carries its own, the end all of them."""
    writer = EventWriter(AudioRequest(DecodeOptions(token_probabilities=True)))
    windows = [
        replace(segment(f" {letter}"), scored=(ScoredToken(f" {letter}".encode(), 1.0),))
        for letter in "ab"
    ]
    pieces = [events(writer.write_delta([window]))[0] for window in windows]
    (done,) = events(writer.write_done(windows, "en", 1.0))
    assert [[each["token"] for each in piece["logprobs"]] for piece in pieces] == [[" a"], [" b"]]
    assert done["logprobs"] == [*pieces[0]["logprobs"], *pieces[1]["logprobs"]]


def test_languages_are_told_to_those_who_asked_among_which() -> None:
    """An empty list for a recording without speech."""
    writer = EventWriter(AudioRequest(lists_languages=True))
    for said, expected in ([segment(" Hi.")], [{"code": "de"}]), ([], []):
        (done,) = events(writer.write_done(said, "de", 1.0))
        assert list(done) == ["type", "text", "languages", "usage"]
        assert done["languages"] == expected


def test_a_failure_is_the_body_of_an_error() -> None:
    """All four keys, as in a reply with a status."""
    (event,) = events(render_error(BackendFailed("The model failed on this audio.")))
    assert event == {
        "error": {
            "message": "The model failed on this audio.",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    }
