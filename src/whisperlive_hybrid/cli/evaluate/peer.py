"""faster-whisper beside us: a process of its own that reads recordings on request.

The process has its own CPU time, and none of this server's tuning. Requests and answers are lines
of JSON on its standard input and output.
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

from whisperlive_hybrid.bench.recordings import Cue, LabelledRecording
from whisperlive_hybrid.cli.evaluate.readers import Output
from whisperlive_hybrid.errors import BadRequest

BEAM: Final[dict[str, object]] = {"beam_size": 5}

PEERS: Final[dict[str, dict[str, object]]] = {
    "faster-whisper": BEAM,
    "faster-whisper-vad": {**BEAM, "vad_filter": True},
    "faster-whisper-batched": {**BEAM, "batch_size": 8},
}
"""Ways to call faster-whisper, with the arguments that are not its defaults."""

_PROGRAM: Final = (
    sys.executable,
    "-c",
    "from whisperlive_hybrid.cli.evaluate.peer_program import main; main()",
)

_OUR_TUNING: Final = "OPENBLAS_NUM_THREADS"
"""What our own command puts into its environment (system.py): not for others."""


class PeerReader:
    """One way to call faster-whisper."""

    def __init__(self, name: str, requests: IO[str], answers: IO[str]) -> None:
        self.name = name
        self._requests = requests
        self._answers = answers

    async def read(self, recording: LabelledRecording) -> Output:
        """Have the process read a recording; raises `BadRequest` if it has ended."""
        request = {"file": str(recording.file), "language": recording.language}
        answer = await anyio.to_thread.run_sync(self._exchange, {**request, **PEERS[self.name]})
        cues = tuple(Cue(start, end, text) for start, end, text in answer["segments"])
        return Output(cues, answer["audio_s"], answer["cpu_s"])

    def _exchange(self, request: dict[str, object]) -> dict[str, Any]:
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            answer: dict[str, Any] = json.loads(self._answers.readline())
        except (OSError, ValueError) as error:
            raise BadRequest(f"{self.name} has ended; why, it says on standard error.") from error
        return answer


def check_peers(names: Sequence[str], backend: str) -> None:
    """Raise `BadRequest` for a peer that is not known, or cannot read the backend's weights."""
    for name in names:
        if name not in PEERS:
            raise BadRequest(f"--compare: there is no {name!r}; there is {', '.join(PEERS)}.")
    if names and backend != "faster_whisper":
        raise BadRequest(f"--compare reads CTranslate2's weights, not those of {backend!r}.")


@contextmanager
def peer_readers(
    names: Sequence[str], model: Path, device: str, compute_type: str, threads: int
) -> Iterator[list[PeerReader]]:
    """Start a process for each of `names`, on the same weights and as many threads as ours."""
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
    with suppress(BrokenPipeError):  # a request that a process which had ended never took
        process.stdin.close()
