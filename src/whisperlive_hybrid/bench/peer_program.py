"""A script that transcribes one recording with faster-whisper alone and prints figures.

Its arguments are MODEL FILE LANGUAGE CHUNK_LENGTH; the last is that of `BatchedInferencePipeline`
in s, or 0 for `WhisperModel.transcribe`. It runs in a separate process, without this server's
tuning, and uses nothing of this server.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Final

CPU_THREADS: Final = 2
BATCH_SIZE: Final = 8
BEAM_SIZE: Final = 5

_KIB_PER_MB: Final = 1e6 / 1024


def main() -> None:
    """Load the model, transcribe the file, and print one line of JSON."""
    from faster_whisper import (  # noqa: PLC0415 (slow to load)
        BatchedInferencePipeline,
        WhisperModel,
    )

    model_directory, file, language, chunk_length = sys.argv[1:]
    model = WhisperModel(
        model_directory, device="cpu", compute_type="int8", cpu_threads=CPU_THREADS
    )
    idle_pages = int(Path("/proc/self/statm").read_text().split()[1])
    idle_mb = idle_pages * resource.getpagesize() / 1e6
    began, cpu_began = time.monotonic(), time.process_time()
    # All arguments that are not named have their defaults.
    if int(chunk_length):
        segments, _ = BatchedInferencePipeline(model).transcribe(
            file,
            language=language,
            beam_size=BEAM_SIZE,
            batch_size=BATCH_SIZE,
            chunk_length=int(chunk_length),
        )
    else:
        segments, _ = model.transcribe(file, language=language, beam_size=BEAM_SIZE)
    text = " ".join(segment.text for segment in segments)  # decoding happens while iterating
    figures = {
        "seconds": time.monotonic() - began,
        "cpu_s": time.process_time() - cpu_began,
        "idle_rss_mb": idle_mb,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_MB,
        "text": text,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
