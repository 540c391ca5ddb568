"""`tensorrt_llm.runtime.ModelRunnerCpp`, with the demo model in OpenVINO where the engines were.

What it takes and gives is recorded from the source of TensorRT-LLM, and anything else is an error:

- tensorrt_llm/runtime/model_runner_cpp.py (commit 0383291, and a later one that has renamed
  `executor` to `session`): the arguments of `from_dir` and `generate` that are used, the sampling
  options that it knows (others it would drop in silence), the checks of lengths, and the result:
  `output_ids` (requests, sequences, max_seq_len) int32 on the GPU, the prompt repeated, padded with
  `end_id`;
- examples/models/core/whisper/run.py (commit 09b9232): features as (frames, bands) in the engine's
  type on the GPU, an even number of frames, `encoder_output_lengths` of half as many;
- cpp/tensorrt_llm/batch_manager/handleContextLogits.cpp and handleGenerationLogits.cpp (commit
  0165bd7): with one beam a processor is given logits (1, 1, vocabulary), from the first token on;
  logitsPostProcessor.cpp (commit 23bf695): with the tokens so far, prompt included, and a stream;
- examples/models/core/whisper/convert_checkpoint.py (commit 2a9abd9): logits are in half precision;
- issue 2190: the end mark is not part of the answer;
- docs/source/advanced/gpt-runtime.md (commit 1353174): no top_k and no top_p is greedy; top_p
  alone draws from the whole distribution.

The rows of a call are written step by step in turn, as in-flight batching does it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from trt_double.tensors import Tensor

from whisperlive_hybrid.backends.openvino.decoder import OvDecoder
from whisperlive_hybrid.backends.openvino.loading import ExportedSettings, OvModels, load_models
from whisperlive_hybrid.models.files import load_model_files
from whisperlive_hybrid.models.formats import OPENVINO

STREAM: Final = 0xC0DA
"""The address of the stream in which logits are lent."""

SAMPLING_OPTIONS: Final = frozenset({"num_beams", "temperature", "top_k", "top_p", "random_seed"})
"""Of those that upstream knows, the ones that this stand-in follows."""

Processor = Callable[[int, Tensor, list[list[int]], int, int | None], None]


@dataclass
class _Request:
    """One row: its decoder, and what it has written."""

    number: int
    decoder: OvDecoder
    logits: npt.NDArray[np.float32]
    prompt: list[int]
    processor: Processor
    tokens: list[int] = field(default_factory=list)
    is_done: bool = False


@dataclass
class ModelRunnerCpp:
    """Loaded engines; `calls` keeps the arguments of every `generate` for tests to look at."""

    models: OvModels
    options: dict[str, Any]
    dtype: str
    max_seq_len: int
    n_mels: int
    calls: list[dict[str, Any]] = field(default_factory=list)
    _at_work: Lock = field(default_factory=Lock)

    @classmethod
    def from_dir(
        cls,
        engine_dir: str,
        *,
        max_batch_size: int,
        max_input_len: int,
        max_beam_width: int,
        kv_cache_free_gpu_memory_fraction: float,
        cross_kv_cache_fraction: float,
        is_enc_dec: bool = False,
        logits_processor_map: dict[str, Processor] | None = None,
    ) -> "ModelRunnerCpp":
        """Load; what lies in the engine files is the place of the models that stand in for them."""
        place = Path(engine_dir)
        engines = [(place / part / "rank0.engine").read_text() for part in ("encoder", "decoder")]
        if engines[0] != engines[1] or not Path(engines[0]).is_dir():
            raise RuntimeError(
                "[TensorRT-LLM][ERROR] Assertion failed: Failed to deserialize cuda engine. "
                f"(runtime/tllmRuntime.cpp:217)\n1 0x7f libtensorrt_llm.so\n{engine_dir}"
            )
        encoder, decoder = (
            json.loads((place / part / "config.json").read_text())
            for part in ("encoder", "decoder")
        )
        built = decoder["build_config"]
        assert is_enc_dec
        assert 1 <= max_batch_size <= built["max_batch_size"]
        assert max_beam_width <= built["max_beam_width"]
        assert max_input_len <= encoder["build_config"]["max_input_len"]
        assert 0 < kv_cache_free_gpu_memory_fraction < 1
        assert 0 < cross_kv_cache_fraction < 1
        files = load_model_files(Path(engines[0]), form=OPENVINO)
        return cls(
            load_models(files, ExportedSettings(files.directory), "cpu", "auto", 1),
            {
                "max_batch_size": max_batch_size,
                "max_input_len": max_input_len,
                "max_beam_width": max_beam_width,
                "processors": logits_processor_map or {},
            },
            encoder["pretrained_config"]["dtype"],
            built["max_seq_len"],
            encoder["pretrained_config"]["n_mels"],
        )

    def generate(
        self,
        batch_input_ids: list[Tensor],
        *,
        encoder_input_features: list[Tensor],
        encoder_output_lengths: list[int],
        logits_processor_names: list[str],
        max_new_tokens: int = 1,
        end_id: int | None = None,
        pad_id: int | None = None,
        return_dict: bool = False,
        **sampling: float,
    ) -> dict[str, Tensor]:
        """Encode and write all rows."""
        with self._alone():
            assert return_dict
            assert end_id is not None
            assert end_id == pad_id
            self._check_sampling(sampling)
            self._check_rows(batch_input_ids, encoder_output_lengths, max_new_tokens)
            self.calls.append({"max_new_tokens": max_new_tokens, "rows": len(batch_input_ids)})
            self.calls[-1] |= sampling
            processors = [self.options["processors"][name] for name in logits_processor_names]
            assert len(processors) == len(set(map(id, processors))) == len(batch_input_ids)
            hidden = [
                self._encoded(*pair)
                for pair in zip(encoder_input_features, encoder_output_lengths, strict=True)
            ]
            requests = [
                self._started(number, *each)
                for number, each in enumerate(
                    zip(hidden, batch_input_ids, processors, strict=True), start=100
                )
            ]
            dice = [np.random.default_rng(int(sampling.get("random_seed", 0))) for _ in requests]
            for _ in range(max_new_tokens):
                for request, die in zip(requests, dice, strict=True):
                    if not request.is_done:
                        _step(request, sampling, die, end_id)
            return {"output_ids": self._padded(requests, end_id)}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two calls at once would take each other's answers: `await_responses` names no request."""
        if not self._at_work.acquire(blocking=False):
            raise RuntimeError("two calls of ModelRunnerCpp.generate at once")
        try:
            yield
        finally:
            self._at_work.release()

    def _check_sampling(self, sampling: dict[str, float]) -> None:
        unknown = set(sampling) - SAMPLING_OPTIONS
        if unknown:
            raise TypeError(f"unknown sampling options: {', '.join(sorted(unknown))}")
        assert sampling["num_beams"] <= self.options["max_beam_width"]
        assert ("temperature" in sampling) == (sampling.get("top_p", 0.0) > 0)
        assert sampling.get("top_k", 0) == 0

    def _check_rows(self, prompts: Sequence[Tensor], lengths: list[int], new: int) -> None:
        """As `_check_inputs` of upstream, and what the engine itself would refuse."""
        if len(prompts) > self.options["max_batch_size"]:
            raise RuntimeError(f"Input batch size ({len(prompts)}) exceeds the engine's")
        for prompt in prompts:
            assert prompt.dtype.name == "int32"
            if prompt.size(0) + new > self.max_seq_len:
                raise RuntimeError(f"Maximum input length ({prompt.size(0)}) + new tokens ({new})")
        assert all(isinstance(length, int) for length in lengths)

    def _encoded(self, features: Tensor, length: int) -> npt.NDArray[np.float32]:
        """(1, positions, width); each by itself, though the engine packs them."""
        assert features.device == "cuda"
        assert features.dtype.name == self.dtype
        frames, bands = features.shape
        assert bands == self.n_mels
        assert frames % 2 == 0
        assert length == frames // 2
        assert frames <= self.options["max_input_len"]
        request = self.models.encoder.create_infer_request()
        request.infer([features.cpu().numpy().astype(np.float32).T[None]])
        output: npt.NDArray[np.float32] = request.get_output_tensor(0).data.copy()
        return output

    def _started(
        self, number: int, hidden: npt.NDArray[np.float32], prompt: Tensor, processor: Processor
    ) -> _Request:
        tokens = [int(token) for token in prompt.tolist()]
        decoder = self.models.new_decoder()
        logits = decoder.start(hidden, np.array([tokens]), [len(tokens) - 1])[0, 0]
        return _Request(number, decoder, logits, tokens, processor)

    def _padded(self, requests: list[_Request], end_id: int) -> Tensor:
        rows = [request.prompt + request.tokens for request in requests]
        padded = [[row + [end_id] * (self.max_seq_len - len(row))] for row in rows]
        return Tensor(np.array(padded, np.int32), "cuda")


def _step(
    request: _Request, sampling: dict[str, float], die: np.random.Generator, end_id: int
) -> None:
    """Let the processor change the logits, choose a token, and run the decoder once more."""
    half = request.logits.astype(np.float16)
    lent = Tensor(half[None, None], "cuda", STREAM)
    request.processor(request.number, lent, [request.prompt + request.tokens], STREAM, None)
    token = _chosen(half.astype(np.float64), sampling, die)
    if token == end_id:
        request.is_done = True
        return
    request.tokens.append(token)
    request.logits = request.decoder.step([0], [token])[0]


def _chosen(
    logits: npt.NDArray[np.float64], sampling: dict[str, float], die: np.random.Generator
) -> int:
    if "temperature" not in sampling:
        return int(logits.argmax())
    scaled = (logits - logits.max()) / sampling["temperature"]
    weights = np.exp(scaled)
    return int(die.choice(len(weights), p=weights / weights.sum()))
