import json
import logging
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Literal

import pytest
import structlog

from whisperlive_hybrid.telemetry.logging import configure_logging

Configure = Callable[[Literal["console", "json"]], StringIO]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Log as a server does; gives where it is written."""
    root, stream = logging.getLogger(), StringIO()
    before, level = root.handlers, root.level

    def configure(form: Literal["console", "json"]) -> StringIO:
        monkeypatch.setattr(sys, "stderr", stream)  # here: pytest sets it anew for each phase
        configure_logging(form=form, level="info")
        return stream

    yield configure
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_lines_of_libraries_are_json_with_stack_and_id(configured: Configure) -> None:
    """A defect that uvicorn tells of is one object, with the id of the request."""
    written = configured("json")
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        try:
            int("no number")
        except ValueError:
            logging.getLogger("uvicorn.error").exception("it failed")
            structlog.get_logger("ours").exception("so did this")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["it failed", "so did this"]
    for line in lines:
        assert line["request_id"] == "req_1"
        assert line["level"] == "error"
        assert line["exception"].splitlines()[-1].startswith("ValueError: ")


def test_the_console_is_for_people(configured: Configure) -> None:
    """One line an event, with its ids."""
    written = configured("console")
    with structlog.contextvars.bound_contextvars(session_id="live_1"):
        structlog.get_logger("ours").info("client admitted", language="en")
        logging.getLogger("chatty").debug("unheard")
    (line,) = written.getvalue().splitlines()
    assert "client admitted" in line
    assert "session_id=live_1" in line
