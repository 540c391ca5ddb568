import anyio
import pytest

from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend, Trouble, speak
from whisperlive_hybrid.engine.engine import Engine
from whisperlive_hybrid.errors import BackendFailed
from whisperlive_hybrid.transcribe import FileRequest, Transcriber


def test_a_failure_keeps_its_cause() -> None:
    """What the runtime said is all that an operator has to find the fault."""

    async def fail() -> None:
        async with Engine(FakeBackend()) as engine:
            transcriber = Transcriber(engine, EnergyVad())
            await transcriber.transcribe([speak([Trouble.ITEM_FAILS])], FileRequest())

    with pytest.raises(BackendFailed) as failed:
        anyio.run(fail)
    assert repr(failed.value.__cause__) == "RuntimeError('the fake item failed')"
