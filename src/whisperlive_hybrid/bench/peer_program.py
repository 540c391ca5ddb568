"""faster-whisper by itself, as a script: a program that reads one recording and prints figures.

Its arguments are MODEL FILE LANGUAGE CHUNK_LENGTH; the last is that of `BatchedInferencePipeline`
in s, or 0 for `WhisperModel.transcribe`. It runs in a process of its own, without this server's
tuning, and uses nothing of this server.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

CPU_THREADS: Final = 2
BATCH_SIZE: Final = 8
BEAM_SIZE: Final = 5

_KIB_PER_MB: Final = 1e6 / 1024


def main() -> None:
    """Load, read, print one line of JSON."""
    from faster_whisper import WhisperModel  # noqa: PLC0415 (nothing is loaded by an import)

    model_directory, file, language, chunk_length = sys.argv[1:]
    model = WhisperModel(
        model_directory, device="cpu", compute_type="int8", cpu_threads=CPU_THREADS
    )
    idle_mb = _resident_mb()
    began, cpu_began = time.monotonic(), time.process_time()
    segments = _segments(model, file, language, int(chunk_length))
    text = " ".join(segment.text for segment in segments)
    figures = {
        "seconds": time.monotonic() - began,
        "cpu_s": time.process_time() - cpu_began,
        "idle_rss_mb": idle_mb,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_MB,
        "text": text,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def _segments(model: Any, file: str, language: str, chunk_length: int) -> Any:  # noqa: ANN401 (untyped)
    """What the program yields; every argument that is not named has its default."""
    from faster_whisper import BatchedInferencePipeline  # noqa: PLC0415 (as above)

    if not chunk_length:
        return model.transcribe(file, language=language, beam_size=BEAM_SIZE)[0]
    return BatchedInferencePipeline(model).transcribe(
        file,
        language=language,
        beam_size=BEAM_SIZE,
        batch_size=BATCH_SIZE,
        chunk_length=chunk_length,
    )[0]


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
