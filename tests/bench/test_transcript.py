"""What a client makes of `segments` messages."""

from typing import Any

from whisperlive_hybrid.bench.scoring import SegmentHistory


def _segment(start: float, text: str, *, completed: bool = True) -> dict[str, Any]:
    return {
        "start": f"{start:.3f}",
        "end": f"{start + 1:.3f}",
        "text": f" {text}",
        "completed": completed,
    }


def _texts(transcript: SegmentHistory) -> list[str]:
    return [line.text for line in transcript.events[-1].committed]


def test_segments_that_leave_the_window_are_kept() -> None:
    """A window of two slides on: the transcript keeps all three, and nothing was revised."""
    transcript = SegmentHistory()
    one, two, three = (_segment(place, f"Line {place}.") for place in range(3))
    for window in ([one], [one, two], [two, three]):
        transcript.receive(1.0, window)
    assert _texts(transcript) == ["Line 0.", "Line 1.", "Line 2."]
    assert transcript.revisions == 0


def test_the_open_segment_may_change() -> None:
    """A tentative segment that grows, changes and completes is no revision."""
    transcript = SegmentHistory()
    transcript.receive(1.0, [_segment(0, "The", completed=False)])
    transcript.receive(2.0, [_segment(0, "The dog", completed=False)])
    transcript.receive(3.0, [_segment(0, "The door.")])
    assert [event.tentative for event in transcript.events] == [("the",), ("the", "dog"), ()]
    assert transcript.revisions == 0


def test_a_completed_text_that_changes_is_a_revision() -> None:
    """Other words at the same place count once, and the new ones stand."""
    transcript = SegmentHistory()
    transcript.receive(1.0, [_segment(0, "The dog."), _segment(1, "Is old.")])
    transcript.receive(2.0, [_segment(0, "The door."), _segment(1, "Is old.")])
    assert transcript.revisions == 1
    assert _texts(transcript) == ["The door.", "Is old."]


def test_a_completed_segment_that_vanishes_is_a_revision() -> None:
    """A segment inside the window that is gone was taken back."""
    transcript = SegmentHistory()
    transcript.receive(1.0, [_segment(0, "One."), _segment(1, "Two.")])
    transcript.receive(2.0, [_segment(0, "One."), _segment(1, "Three", completed=False)])
    assert transcript.revisions == 1


def test_a_message_without_completed_segments_takes_nothing_back() -> None:
    """A server that sends the open segment alone keeps what it had completed."""
    transcript = SegmentHistory()
    transcript.receive(1.0, [_segment(0, "One.")])
    transcript.receive(2.0, [_segment(1, "Two", completed=False)])
    assert _texts(transcript) == ["One."]
    assert transcript.revisions == 0


def test_repetitions_are_counted_and_make_no_event() -> None:
    """A repeated message counts as a message and adds no event."""
    transcript = SegmentHistory()
    for at in (1.0, 2.0, 3.0):
        transcript.receive(at, [_segment(0, "One.")])
    assert transcript.messages == 3
    assert [event.at for event in transcript.events] == [1.0]


def test_times_may_be_numbers() -> None:
    """Old servers send numbers; they are the same times."""
    transcript = SegmentHistory()
    transcript.receive(1.0, [_segment(0, "One.")])
    transcript.receive(2.0, [{"start": 0, "end": 1.0, "text": "One.", "completed": True}])
    assert transcript.revisions == 0
    assert len(transcript.events) == 1


def test_without_the_key_every_segment_but_the_last_is_completed() -> None:
    """Servers before 0.6 do not say what is completed."""
    transcript = SegmentHistory()
    first, last = _segment(0, "One."), _segment(1, "Two")
    del first["completed"], last["completed"]
    transcript.receive(1.0, [first, last])
    assert _texts(transcript) == ["One."]
    assert transcript.events[-1].tentative == ("two",)


def test_a_server_may_say_what_is_stable() -> None:
    """`stable` is the beginning of the open text; growth alone is an event, too."""
    transcript = SegmentHistory()
    for stable in ({}, {"stable": " The"}, {"stable": " The door,"}, {"stable": " The door,"}):
        transcript.receive(1.0, [_segment(0, "The door, is", completed=False) | stable])
    assert [event.promised for event in transcript.events] == [0, 1, 2]
    transcript.receive(2.0, [_segment(0, "The door is.")])
    assert transcript.events[-1].promised == 0
