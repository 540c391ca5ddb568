"""Run faster-whisper in a separate process that transcribes recordings on request.

A separate process has its own CPU time, and none of this server's tuning. Requests and responses
are lines of JSON on its standard input and output.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import anyio.to_thread

from whisperlive_hybrid.bench.recordings import LabelledRecording, TimedText
from whisperlive_hybrid.cli.evaluate.readers import Output
from whisperlive_hybrid.errors import BadRequest

BEAM: Final[dict[str, object]] = {"beam_size": 5}

PEERS: Final[dict[str, dict[str, object]]] = {
    "faster-whisper": BEAM,
    "faster-whisper-vad": {**BEAM, "vad_filter": True},
    "faster-whisper-batched": {**BEAM, "batch_size": 8},
}
"""Configurations of faster-whisper: the arguments that differ from its defaults."""

_PROGRAM: Final = (
    sys.executable,
    "-c",
    "from whisperlive_hybrid.cli.evaluate.peer_program import main; main()",
)

_OUR_TUNING: Final = "OPENBLAS_NUM_THREADS"
"""Set by our own command in its environment (system.py); the peer must not inherit it."""


class PeerReader:
    """One configuration of faster-whisper."""

    def __init__(self, name: str, requests: IO[str], responses: IO[str]) -> None:
        self.name = name
        self._requests = requests
        self._responses = responses

    async def read(self, recording: LabelledRecording) -> Output:
        """Transcribe a recording in the process; raises `BadRequest` if it has ended."""
        request = {"file": str(recording.file), "language": recording.language}
        response = await anyio.to_thread.run_sync(self._exchange, {**request, **PEERS[self.name]})
        cues = tuple(TimedText(start, end, text) for start, end, text in response["segments"])
        return Output(cues, response["audio_s"], response["cpu_s"])

    def _exchange(self, request: dict[str, object]) -> dict[str, Any]:
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            response: dict[str, Any] = json.loads(self._responses.readline())
        except (OSError, ValueError) as error:
            raise BadRequest(
                f"{self.name} has ended; see its message on standard error."
            ) from error
        return response


def check_peers(names: Sequence[str], backend: str) -> None:
    """Raise `BadRequest` for an unknown peer, or a backend whose weights the peers cannot load."""
    for name in names:
        if name not in PEERS:
            raise BadRequest(f"--compare: unknown peer {name!r}; use one of: {', '.join(PEERS)}.")
    if names and backend != "faster_whisper":
        raise BadRequest(f"--compare needs the backend faster_whisper, not {backend!r}.")


@contextmanager
def peer_readers(
    names: Sequence[str], model: Path, device: str, compute_type: str, threads: int
) -> Iterator[list[PeerReader]]:
    """Start a process for each of `names`, with the same weights and number of threads as ours."""
    environment = {name: value for name, value in os.environ.items() if name != _OUR_TUNING}
    arguments = [str(model), device, compute_type, str(threads)]
    with ExitStack() as processes:
        readers = []
        for name in names:
            process = processes.enter_context(
                subprocess.Popen(  # noqa: S603 (our own program; it gets no shell)
                    [*_PROGRAM, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environment,
                )
            )
            processes.callback(_stop, process)
            assert process.stdin  # noqa: S101 (for the type checker)
            assert process.stdout  # noqa: S101 (as above)
            readers.append(PeerReader(name, process.stdin, process.stdout))
        yield readers


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    assert process.stdin  # noqa: S101 (for the type checker)
    with suppress(BrokenPipeError):  # an unread request to a process that had ended
        process.stdin.close()
