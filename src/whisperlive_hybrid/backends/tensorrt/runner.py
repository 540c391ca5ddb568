"""TensorRT-LLM's `ModelRunnerCpp` with a Whisper: loading, and calls with batches of rows.

Written for TensorRT-LLM 1.2, the last release that runs engines; docs/backends.md has the details.
Properties of its source, and their consequences:

- `generate` takes features and runs the encoder itself; it takes no encoder output.
- It returns the next result of the runtime, so two calls at once would exchange their results:
  a lock allows one at a time.
- Sampling options hold for all rows of a call. With several sequences for a row, a processor could
  not know the sequence of its logits, so each sample is a call of its own.
- With several beams, a processor gets tokens of different beams mixed (pull request 13617, not
  merged). Whisper's rules depend on the tokens of one beam, so the search is greedy.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from threading import Lock
from typing import Any, Final

import numpy as np

from whisperlive_hybrid.backends.tensorrt.config import EngineSettings
from whisperlive_hybrid.backends.tensorrt.logits import RowProcessor, RowRequest, RowResult, Torch
from whisperlive_hybrid.backends.whisper.search import N_SAMPLES, Rules
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import ModelFiles

PACKAGE: Final = "tensorrt_llm"

KNOWN_VERSIONS: Final = "1.2."
"""Prefix of the versions for whose source this was written."""

ADVICE: Final = (
    "Install TensorRT-LLM 1.2.1 as NVIDIA's guide says (Linux, Python 3.12, an NVIDIA GPU): "
    "pip install tensorrt_llm==1.2.1"
)

MEMORY_SHARE: Final = 0.5
"""Share of the GPU memory left by the weights that the caches take; half of it is for the
cross-attention. Not measured: upstream's example takes 0.9, which leaves nothing for a second
model."""


class TrtRunner:
    """One loaded pair of engines; calls from several threads wait for each other."""

    def __init__(
        self, files: ModelFiles, settings: EngineSettings, rules: Rules, n_rows: int
    ) -> None:
        """Load the engines for calls of at most `n_rows` rows; raises `ModelUnavailable`."""
        self._torch, runtime = _import_runtime(files.name, settings)
        self._rows = [RowProcessor(self._torch, rules) for _ in range(n_rows)]
        self._lock = Lock()  # calls at once would exchange their results
        self._end = rules.end
        dtypes = {
            "float16": self._torch.float16,
            "bfloat16": self._torch.bfloat16,
            "float32": self._torch.float32,
        }
        self._dtype = dtypes[settings.dtype]
        try:
            self._model: Any = runtime.ModelRunnerCpp.from_dir(
                engine_dir=str(files.directory),
                is_enc_dec=True,
                max_batch_size=n_rows,
                max_input_len=settings.frames,
                max_beam_width=1,  # the search is greedy
                kv_cache_free_gpu_memory_fraction=MEMORY_SHARE,
                cross_kv_cache_fraction=0.5,
                logits_processor_map={_name(i): row for i, row in enumerate(self._rows)},
            )
        except (RuntimeError, AssertionError, ValueError) as error:
            raise _explain_failure(files, self._torch, error) from error

    def generate_greedy(self, requests: Sequence[RowRequest], longest: int) -> list[RowResult]:
        """Take the most probable token in each step, at most `longest` after the forced ones."""
        return self._generate(requests, longest, {})

    def generate_best_sample(
        self, requests: Sequence[RowRequest], longest: int, temperature: float
    ) -> list[RowResult]:
        """Return the most probable of `N_SAMPLES` samples, drawn with fixed seeds."""
        samples = [
            self._generate(
                requests,
                longest,
                {"temperature": temperature, "top_k": 0, "top_p": 1.0, "random_seed": seed},
            )
            for seed in range(N_SAMPLES)
        ]
        by_row = zip(*samples, strict=True)
        return [max(results, key=lambda result: result.path.rank) for results in by_row]

    def close(self) -> None:
        """Free the GPU's memory, which the runtime does when its last reference is gone."""
        with self._lock:  # not during a call
            self._model = None

    def _generate(
        self, requests: Sequence[RowRequest], longest: int, sampling: dict[str, float]
    ) -> list[RowResult]:
        contiguous = (np.ascontiguousarray(request.features) for request in requests)
        features = [self._torch.from_numpy(array).to(self._dtype).cuda() for array in contiguous]
        prompts = [self._torch.tensor(list(r.prompt), dtype=self._torch.int32) for r in requests]
        n_forced = max(len(request.forced) for request in requests)
        with self._lock:
            for row, request in zip(self._rows, requests, strict=False):
                row.begin(request)
            result = self._model.generate(
                batch_input_ids=prompts,
                encoder_input_features=features,
                # The encoder halves the number of frames.
                encoder_output_lengths=[len(request.features) // 2 for request in requests],
                logits_processor_names=[_name(i) for i in range(len(requests))],
                max_new_tokens=n_forced + longest,
                end_id=self._end,
                pad_id=self._end,
                num_beams=1,
                return_dict=True,
                **sampling,
            )
            written = result["output_ids"].tolist()  # (rows, sequences, tokens)
            rows = zip(self._rows, written, strict=False)
            return [row.result(sequences[0]) for row, sequences in rows]


def check_tensorrt() -> None:
    """Raise `ModelUnavailable` if TensorRT-LLM is not installed; does not import it."""
    if find_spec(PACKAGE) is None:
        raise ModelUnavailable(f"Backend 'tensorrt' needs the package {PACKAGE}. {ADVICE}")


def _import_runtime(name: str, settings: EngineSettings) -> tuple[Torch, Any]:
    """Return torch and `tensorrt_llm.runtime`; raises `ModelUnavailable` if they do not fit."""
    try:
        installed = version(PACKAGE)
    except PackageNotFoundError as error:
        raise ModelUnavailable(
            f"Backend 'tensorrt' needs the package {PACKAGE}. {ADVICE}"
        ) from error
    if not installed.startswith(KNOWN_VERSIONS):
        raise ModelUnavailable(
            f"Backend 'tensorrt' is written for TensorRT-LLM 1.2, and {installed} is installed; "
            f"1.3 does not run engines. {ADVICE}"
        )
    if settings.version != installed:
        raise ModelUnavailable(
            f"Model {name!r} cannot be loaded: it was built with TensorRT-LLM {settings.version}, "
            f"and {installed} is installed. Build it again: an engine runs with its own version."
        )
    try:
        # Slow to load, and not our dependencies: the operator has installed them.
        import torch  # noqa: PLC0415

        if not torch.cuda.is_available():
            raise ModelUnavailable("Backend 'tensorrt' needs an NVIDIA GPU, and torch sees none.")
        from tensorrt_llm import runtime  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError) as error:  # a library of CUDA or MPI is missing
        raise ModelUnavailable(
            f"The package {PACKAGE} cannot be imported: {_first_line(error)}. {ADVICE}"
        ) from error
    return torch, runtime


def _explain_failure(files: ModelFiles, torch: Torch, error: Exception) -> ModelUnavailable:
    reason = _first_line(error).replace(str(files.directory), files.name)
    if "deserializ" in str(error).lower():
        major, minor = torch.cuda.get_device_capability()
        reason = (
            f"TensorRT cannot read its engine. An engine runs on the kind of GPU that it was built "
            f"on; this one is {torch.cuda.get_device_name()} (compute capability {major}.{minor}). "
            f"Build it here."
        )
    return ModelUnavailable(f"Model {files.name!r} cannot be loaded: {reason}")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _name(row: int) -> str:
    """Return the name of a row's processor in the runtime."""
    return f"row {row}"
