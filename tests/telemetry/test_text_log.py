import pytest
from structlog.testing import capture_logs

from whisperlive_hybrid.backends.fake import FakeBackend, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.telemetry.logging import TextLog
from whisperlive_hybrid.types import DecodeOptions, Urgency, Window, WindowSpan

pytestmark = pytest.mark.anyio


async def test_only_what_was_read_for_good_is_logged() -> None:
    """Guesses at open utterances would repeat it many times."""
    samples = speak([7, 8])
    window = Window(samples, (WindowSpan(0, 0, len(samples)),))
    async with Engine(FakeBackend(), observer=TextLog()) as engine:
        with capture_logs() as logs:
            for urgency in Urgency:
                await engine.decode(window, DecodeOptions(language="en"), urgency)
    assert [(line["text"], line["language"]) for line in logs] == [("w7 w8", "en")] * 3
