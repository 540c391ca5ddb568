"""TensorRT-LLM's `ModelRunnerCpp` with a Whisper: loaded, and asked for batches of answers.

Written for TensorRT-LLM 1.2, the last release that runs engines; docs/backends.md says what that
rests on. What its source says, and what follows from it here:

- `generate` takes features and runs the encoder itself; an encoder's output cannot be handed in.
- It waits for whatever answer comes next, so two calls at once would take each other's.
- Sampling options are for all rows of a call. With several sequences for a row there would be
  nobody to tell whose logits a processor is given, so each sample is a call of its own.
- A processor of logits sees, with several beams, tokens of different beams mixed (pull request
  13617, not merged), and Whisper's rules need to know what was written: the search is greedy.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from threading import Lock
from typing import Any, Final

import numpy as np

from whisperlive_hybrid.backends.tensorrt.config import EngineSettings
from whisperlive_hybrid.backends.tensorrt.logits import Answer, Row, Torch, Wish
from whisperlive_hybrid.backends.whisper.search import N_SAMPLES, Rules
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import ModelFiles

PACKAGE: Final = "tensorrt_llm"

KNOWN_VERSIONS: Final = "1.2."
"""Those whose source this was written against."""

ADVICE: Final = (
    "Install TensorRT-LLM 1.2.1 as NVIDIA's guide says (Linux, Python 3.12, an NVIDIA GPU): "
    "pip install tensorrt_llm==1.2.1"
)

MEMORY_SHARE: Final = 0.5
"""Of the GPU memory that is free behind the weights, for the caches; half of it for what is heard.
Not measured: upstream's example takes 0.9, which leaves nothing for a second model."""


class TrtRunner:
    """One loaded pair of engines; calls from several threads wait for each other."""

    def __init__(
        self, files: ModelFiles, settings: EngineSettings, rules: Rules, rows: int
    ) -> None:
        """Load the engines for calls of at most `rows` rows; raises `ModelUnavailable`."""
        self._torch, runtime = _imported(files.name, settings)
        self._rows = [Row(self._torch, rules) for _ in range(rows)]
        self._lock = Lock()
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
                max_batch_size=rows,
                max_input_len=settings.frames,
                max_beam_width=1,
                kv_cache_free_gpu_memory_fraction=MEMORY_SHARE,
                cross_kv_cache_fraction=0.5,
                logits_processor_map={_name(i): row for i, row in enumerate(self._rows)},
            )
        except (RuntimeError, AssertionError, ValueError) as error:
            raise _not_loaded(files, self._torch, error) from error

    def greedy(self, wishes: Sequence[Wish], longest: int) -> list[Answer]:
        """The likeliest token at each step, at most `longest` behind the forced ones."""
        return self._generate(wishes, longest, {})

    def sampled(self, wishes: Sequence[Wish], longest: int, temperature: float) -> list[Answer]:
        """The likeliest of `N_SAMPLES` answers that are drawn; the same each time."""
        drawn = [
            self._generate(
                wishes,
                longest,
                {"temperature": temperature, "top_k": 0, "top_p": 1.0, "random_seed": seed},
            )
            for seed in range(N_SAMPLES)
        ]
        return [max(each, key=lambda a: a.path.rank) for each in zip(*drawn, strict=True)]

    def close(self) -> None:
        """Free the GPU's memory: the runtime does so when nobody holds it any more."""
        with self._lock:
            self._model = None

    def _generate(
        self, wishes: Sequence[Wish], longest: int, sampling: dict[str, float]
    ) -> list[Answer]:
        features = [self._on_gpu(wish) for wish in wishes]
        prompts = [
            self._torch.tensor(list(wish.prompt), dtype=self._torch.int32) for wish in wishes
        ]
        n_forced = max(len(wish.forced) for wish in wishes)
        with self._lock:
            for row, wish in zip(self._rows, wishes, strict=False):
                row.begin(wish)
            result = self._model.generate(
                batch_input_ids=prompts,
                encoder_input_features=features,
                encoder_output_lengths=[len(wish.features) // 2 for wish in wishes],
                logits_processor_names=[_name(i) for i in range(len(wishes))],
                max_new_tokens=n_forced + longest,
                end_id=self._end,
                pad_id=self._end,
                num_beams=1,
                return_dict=True,
                **sampling,
            )
            written = result["output_ids"].tolist()  # (rows, sequences, tokens)
            rows = zip(self._rows, written, strict=False)
            return [row.answer(sequences[0]) for row, sequences in rows]

    def _on_gpu(self, wish: Wish) -> Torch:
        tensor = self._torch.from_numpy(np.ascontiguousarray(wish.features))
        return tensor.to(self._dtype).cuda()


def check_tensorrt() -> None:
    """Raise `ModelUnavailable` if TensorRT-LLM is not there; it is not imported for that."""
    if find_spec(PACKAGE) is None:
        raise ModelUnavailable(f"Backend 'tensorrt' needs the package {PACKAGE}. {ADVICE}")


def _imported(name: str, settings: EngineSettings) -> tuple[Torch, Any]:
    """The modules torch and `tensorrt_llm.runtime`, if they fit this machine and the engines."""
    installed = _version()
    if not installed.startswith(KNOWN_VERSIONS):
        raise ModelUnavailable(
            f"Backend 'tensorrt' is written for TensorRT-LLM 1.2, and {installed} is installed; "
            f"1.3 has no engines any more. {ADVICE}"
        )
    if settings.version != installed:
        raise ModelUnavailable(
            f"Model {name!r} cannot be loaded: it was built with TensorRT-LLM {settings.version}, "
            f"and {installed} is installed. Build it again: an engine runs with its own version."
        )
    try:
        # Slow to load, and no dependencies of ours: they are the operator's.
        import torch  # noqa: PLC0415

        if not torch.cuda.is_available():
            raise ModelUnavailable("Backend 'tensorrt' needs an NVIDIA GPU, and torch sees none.")
        from tensorrt_llm import runtime  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError) as error:  # of CUDA or MPI a library is missing
        raise ModelUnavailable(
            f"The package {PACKAGE} cannot be imported: {_first_line(error)}. {ADVICE}"
        ) from error
    return torch, runtime


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError as error:
        raise ModelUnavailable(
            f"Backend 'tensorrt' needs the package {PACKAGE}. {ADVICE}"
        ) from error


def _not_loaded(files: ModelFiles, torch: Torch, error: Exception) -> ModelUnavailable:
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
    """Under which name a row's processor is known to the runtime."""
    return f"row {row}"
