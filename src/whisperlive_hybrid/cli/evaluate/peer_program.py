"""A script that transcribes recordings with faster-whisper alone, on request.

Its arguments are MODEL DEVICE COMPUTE_TYPE THREADS. Each line of standard input is an object with
`file`, `language` and arguments of `transcribe`, of which `batch_size` chooses the batched
pipeline; each line of standard output is the response. It uses nothing of this server.
"""

import json
import sys
import time
from typing import Any


def main() -> None:
    """Load the model, then serve requests until standard input ends."""
    from faster_whisper import (  # noqa: PLC0415 (slow to load)
        BatchedInferencePipeline,
        WhisperModel,
    )

    model_directory, device, compute_type, threads = sys.argv[1:]
    model = WhisperModel(
        model_directory, device=device, compute_type=compute_type, cpu_threads=int(threads)
    )
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        reader = BatchedInferencePipeline(model) if "batch_size" in request else model
        began = time.process_time()
        segments, about = reader.transcribe(request.pop("file"), **request)
        read = [(segment.start, segment.end, segment.text) for segment in segments]
        response = {
            "segments": read,
            "audio_s": about.duration,
            "cpu_s": time.process_time() - began,
        }
        sys.stdout.write(json.dumps(response) + "\n")
        sys.stdout.flush()
