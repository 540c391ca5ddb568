"""The programs that the HTTP server is compared with: three configurations of faster-whisper."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio

from whisperlive_hybrid.bench.corpus import Recording
from whisperlive_hybrid.bench.file_run import FileRun, word_error_rate
from whisperlive_hybrid.errors import BadRequest

_PROGRAM: Final = (
    sys.executable,
    "-c",
    "from whisperlive_hybrid.bench.peer_program import main; main()",
)

_OUR_TUNING: Final = ("OPENBLAS_NUM_THREADS",)
"""Set by our own command in its environment (system.py); a peer must not inherit it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One configuration of faster-whisper."""

    name: str
    """The name in reports."""
    chunk_length: int
    """Of the batched pipeline, in s; 0 for the sequential `WhisperModel.transcribe`."""


PEERS: Final = {
    "batched-10": Peer("faster-whisper batched, 10 s", 10),
    "batched-30": Peer("faster-whisper batched, 30 s", 30),
    "sequential": Peer("faster-whisper transcribe", 0),
}

ALL_PEERS: Final = "faster-whisper"
"""The name that selects all peers."""


def find_peers(names: Sequence[str]) -> list[Peer]:
    """Return the peers of these names. Raises `BadRequest` for an unknown one."""
    wanted: list[str] = []
    for name in names:
        wanted += PEERS if name == ALL_PEERS else [name]
    for name in wanted:
        if name not in PEERS:
            known = ", ".join([ALL_PEERS, *PEERS])
            raise BadRequest(f"--compare: unknown peer {name!r}; use one of: {known}.")
    return [PEERS[name] for name in dict.fromkeys(wanted)]


async def measure_peer(peer: Peer, model: Path, recording: Recording) -> FileRun:
    """Transcribe a recording in a separate process; loading the model does not count.

    Raises `BadRequest` if the process fails; its message is on standard error.
    """
    arguments = [str(model), str(recording.file), recording.language, str(peer.chunk_length)]
    environment = {name: value for name, value in os.environ.items() if name not in _OUR_TUNING}
    try:
        # Standard error is inherited, so that the user sees why a peer fails.
        done = await anyio.run_process([*_PROGRAM, *arguments], env=environment, stderr=None)
    except subprocess.CalledProcessError as error:
        raise BadRequest(f"{peer.name} ended with exit code {error.returncode}.") from error
    figures: dict[str, Any] = json.loads(done.stdout)
    text = figures.pop("text")
    return FileRun(
        reader=peer.name,
        audio_s=recording.duration,
        wer=word_error_rate(recording, text),
        **figures,
    )
