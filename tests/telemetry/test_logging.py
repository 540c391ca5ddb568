import json
import logging
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Literal

import pytest
import structlog
from structlog.testing import capture_logs

from whisperlive_hybrid.backends.fake import FakeBackend, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.telemetry.logging import TextLog, configure_logging
from whisperlive_hybrid.types import DecodeOptions, Urgency, Window, WindowSpan

Configure = Callable[[Literal["console", "json"]], StringIO]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Log as a server does, to the stream that is returned."""
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
    """An error logged by uvicorn is one object, with the id of the request."""
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
    """One line per event, with its ids."""
    written = configured("console")
    with structlog.contextvars.bound_contextvars(session_id="live_1"):
        structlog.get_logger("ours").info("client admitted", language="en")
        logging.getLogger("chatty").debug("unheard")
    (line,) = written.getvalue().splitlines()
    assert "client admitted" in line
    assert "session_id=live_1" in line


pytestmark = pytest.mark.anyio


async def test_only_what_was_read_for_good_is_logged() -> None:
    """Updates of open utterances would repeat the text many times."""
    samples = speak([7, 8])
    window = Window(samples, (WindowSpan(0, 0, len(samples)),))
    async with Engine(FakeBackend(), observer=TextLog()) as engine:
        with capture_logs() as logs:
            for urgency in Urgency:
                await engine.decode(window, DecodeOptions(language="en"), urgency)
    assert [(line["text"], line["language"]) for line in logs] == [("w7 w8", "en")] * 3
