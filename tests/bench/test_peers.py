"""faster-whisper by itself, in a process of its own."""

from pathlib import Path

import pytest

import whisperlive_hybrid
from whisperlive_hybrid.bench.corpus import Library, Recording, record
from whisperlive_hybrid.bench.peers import PEERS, peers_named, read_by_peer
from whisperlive_hybrid.errors import BadRequest

pytestmark = pytest.mark.anyio

DEMO = Path(whisperlive_hybrid.__file__).parent / "assets" / "demo"


def test_one_name_stands_for_all() -> None:
    """Each peer reads once a round, however it was named."""
    assert peers_named(["faster-whisper", "batched-10"]) == list(PEERS.values())
    assert peers_named(["sequential"]) == [PEERS["sequential"]]
    assert peers_named([]) == []


def test_an_unknown_peer_is_refused() -> None:
    """The message says which there are."""
    with pytest.raises(BadRequest, match=r"no 'whisper'; it knows: faster-whisper, batched-10"):
        peers_named(["whisper"])


@pytest.mark.parametrize("name", ["batched-10", "sequential"])
async def test_a_peer_reads_with_the_same_weights(
    name: str, clip_folder: Path, tmp_path: Path
) -> None:
    """Both its ways give a text that is mostly right, and figures of its own process."""
    made = record(Library.read(clip_folder, ["en"]), 10, 0, tmp_path / "long")
    run = await read_by_peer(PEERS[name], DEMO, made)
    assert run.reader == PEERS[name].name
    assert run.wer < 0.3
    assert run.cpu_s
    assert run.growth_mb is not None
    assert run.growth_mb > 0


async def test_a_peer_that_fails_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It says why by itself; the benchmark says who."""
    missing = Recording(tmp_path / "none.flac", "en", ("hello",), 1.0)
    with pytest.raises(BadRequest, match="batched, 10 s ended with exit code 1"):
        await read_by_peer(PEERS["batched-10"], DEMO, missing)
    assert "none.flac" in capfd.readouterr().err
