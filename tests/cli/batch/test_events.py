"""Server-sent events from bytes."""

from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.cli.batch.jobs_client import EventParser

lines = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))


@given(st.lists(lines), st.data())
def test_the_cuts_of_a_network_do_not_matter(events: list[str], data: st.DataObject) -> None:
    """Wherever the bytes are cut, even inside a character, the same events come out."""
    sent = "".join(f": ping\n\ndata: {event}\n\n" for event in events).encode()
    parser, got = EventParser(), []
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        got += parser.feed(sent[:size])
        sent = sent[size:]
    assert got == events


def test_comments_other_fields_and_line_ends() -> None:
    """CR LF ends a line too; data of several lines is one event; an event needs its blank line."""
    parser = EventParser()
    assert parser.feed(b"event: x\r\nid: 1\r\ndata: a\r\ndata:b\r\n\r\n: ping\n\n") == ["a\nb"]
    assert parser.feed(b"data: half\n") == []
