"""faster-whisper in a separate process."""

from pathlib import Path

import pytest

import whisperlive_hybrid
from whisperlive_hybrid.bench.corpus import Corpus, Recording, compose_recording
from whisperlive_hybrid.bench.peers import PEERS, find_peers, measure_peer
from whisperlive_hybrid.errors import BadRequest

pytestmark = pytest.mark.anyio

DEMO = Path(whisperlive_hybrid.__file__).parent / "assets" / "demo"


def test_one_name_stands_for_all() -> None:
    """Each peer reads once a round, however it was named."""
    assert find_peers(["faster-whisper", "batched-10"]) == list(PEERS.values())
    assert find_peers(["sequential"]) == [PEERS["sequential"]]
    assert find_peers([]) == []


def test_an_unknown_peer_is_refused() -> None:
    """The message says which there are."""
    with pytest.raises(
        BadRequest, match=r"unknown peer 'whisper'; use one of: faster-whisper, batched-10"
    ):
        find_peers(["whisper"])


@pytest.mark.parametrize("name", ["batched-10", "sequential"])
async def test_a_peer_reads_with_the_same_weights(
    name: str, clip_folder: Path, tmp_path: Path
) -> None:
    """Both its ways give a text that is mostly right, and figures of its own process."""
    made = compose_recording(Corpus.read(clip_folder, ["en"]), 10, 0, tmp_path / "long")
    run = await measure_peer(PEERS[name], DEMO, made)
    assert run.reader == PEERS[name].name
    assert run.wer < 0.3
    assert run.cpu_s
    assert run.growth_mb is not None
    assert run.growth_mb > 0


async def test_a_peer_that_fails_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error names the peer; its own message is on standard error."""
    missing = Recording(tmp_path / "none.flac", "en", ("hello",), 1.0)
    with pytest.raises(BadRequest, match="batched, 10 s ended with exit code 1"):
        await measure_peer(PEERS["batched-10"], DEMO, missing)
    assert "none.flac" in capfd.readouterr().err
