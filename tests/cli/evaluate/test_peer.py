from pathlib import Path

import pytest
from paths import CLIPS

from whisperlive_hybrid.bench.recordings import LabelledRecording
from whisperlive_hybrid.cli.evaluate.peer import PEERS, check_peers, peer_readers
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.models.files import demo_model

pytestmark = pytest.mark.anyio

SENTENCE = LabelledRecording("en-0", CLIPS / "en-0.flac", "en", "read", "Oscar buys the picture.")


def test_peers_that_do_not_exist_or_cannot_read_the_weights_are_refused() -> None:
    """Before anything is read."""
    check_peers([*PEERS], "faster_whisper")
    check_peers([], "openvino")
    with pytest.raises(BadRequest, match=r"'whisperx'; use one of: faster-whisper, "):
        check_peers(["whisperx"], "faster_whisper")
    with pytest.raises(BadRequest, match="'openvino'"):
        check_peers(["faster-whisper"], "openvino")


async def test_every_way_of_faster_whisper_reads() -> None:
    """One recording after another, each with its own cost."""
    with peer_readers([*PEERS], demo_model().directory, "cpu", "int8", 1) as readers:
        assert [reader.name for reader in readers] == [*PEERS]
        for reader in readers:
            for _ in range(2):
                output = await reader.read(SENTENCE)
                assert "oscar" in output.text.lower()
                assert output.audio_s == pytest.approx(2, abs=1)
                assert output.cpu_s > 0


async def test_a_process_that_ended_is_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error names the peer; its own message is on standard error."""
    with peer_readers(["faster-whisper"], tmp_path / "no-model", "cpu", "int8", 1) as (reader,):
        for _ in range(2):  # waiting for an answer, and writing to a process that has ended
            with pytest.raises(BadRequest, match="faster-whisper has ended"):
                await reader.read(SENTENCE)
    assert "Traceback" in capfd.readouterr().err
