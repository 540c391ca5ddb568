"""The `tensorrt` backend: engines that TensorRT-LLM has built, on NVIDIA GPUs.

**Not yet tested on a GPU.** It is written from TensorRT-LLM's source and tested with a stand-in for
its runtime (tests/trt_double); docs/backends.md lists the open points.

The runtime encodes inside `generate` and takes no encoder output. So the encode step only computes
the features, on the CPU, and the encoder runs again in each call that follows: to detect the
language, to generate, to generate again at another temperature. In exchange, one call does all
other steps on the GPU. The reasons are in docs/decisions/0013.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import structlog

from whisperlive_hybrid.backends.base import (
    Align,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.backends.tensorrt.config import EngineSettings
from whisperlive_hybrid.backends.tensorrt.logits import RowRequest
from whisperlive_hybrid.backends.tensorrt.runner import TrtRunner
from whisperlive_hybrid.backends.whisper.batch_key import batch_key
from whisperlive_hybrid.backends.whisper.features import MelFeatures
from whisperlive_hybrid.backends.whisper.tokens import WhisperVocabulary, pick_language
from whisperlive_hybrid.errors import BackendFailed, ModelUnavailable, Unsupported
from whisperlive_hybrid.models.files import ModelFiles
from whisperlive_hybrid.types import CONTEXT_S, Hypothesis, Language, Task, TokenTime

LARGEST_BATCH: Final = 16
"""Windows per call, if the engine takes as many; the number of CTranslate2 on a GPU."""

WORKERS: Final = 2
"""One call computes features on the CPU while another is on the GPU, which takes one at a time."""

N_TIME_MARKS: Final = 1501
"""From 0.00 to 30.00 s: the last tokens of every Whisper."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class TrtFeatures:
    """The features of one window, (frames, bands), in main memory; the runtime encodes them."""

    features: npt.NDArray[np.float32]
    context_s: float

    @property
    def seen_s(self) -> float:
        """The context: there is no silent tail."""
        return self.context_s


class TensorRtBackend:
    """One engine directory; `Capabilities.workers` threads may call it at once."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        device: str = "auto",
        compute_type: str = "auto",
        workers: int = WORKERS,
    ) -> None:
        """Load the engines; raises `ModelUnavailable` with a reason of one line."""
        settings = EngineSettings(files.directory, files.name)
        if device not in {"auto", "cuda"}:
            raise ModelUnavailable(
                f"Model {files.name!r} cannot be loaded: backend tensorrt runs on cuda (NVIDIA), "
                f"not on {device!r}."
            )
        if compute_type not in {"auto", settings.dtype}:
            raise ModelUnavailable(
                f"Model {files.name!r} cannot be loaded: it was built to compute in "
                f"{settings.dtype}, not in {compute_type!r}; only its weights can be int8."
            )
        self.vocabulary = _load_vocabulary(files, settings)
        self._features = MelFeatures(settings.n_mels)
        self._text_room = settings.text_room
        self._longest_answer = settings.text_positions // 2
        self.capabilities = _describe(files, settings, self.vocabulary, workers)
        n_rows = self.capabilities.generate_batch
        self._runner = TrtRunner(files, settings, self.vocabulary.rules(), n_rows)

    def batch_key(self, work: Work) -> Hashable:
        """Return the key of work that may share one call."""
        # The runtime requires equal temperatures and bounds only. With equal contexts too, short
        # windows do not wait for long ones.
        return batch_key(work, self.vocabulary)

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Return log-mel features, each window padded with silence to its context."""
        return [
            TrtFeatures(self._features(work.window.samples, work.context_s).T, work.context_s)
            for work in batch
        ]

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Return the most probable language of each item among its candidates."""
        start = (self.vocabulary.start_of_transcript,)
        requests = [RowRequest(_get_features(work.encoded), start) for work in batch]
        tokens = self.vocabulary.language_tokens()
        languages: list[Language | Exception] = []
        results = self._runner.generate_greedy(requests, longest=1)
        for result, work in zip(results, batch, strict=True):
            found = {code: float(result.opening[token]) for code, token in tokens.items()}
            total = sum(found.values())
            shares = {code: probability / total for code, probability in found.items()}
            languages.append(pick_language(shares, work.candidates))
        return languages

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Greedy search at temperature 0, else the best of five samples."""
        vocabulary = self.vocabulary
        options, temperature = batch[0].options, batch[0].temperature
        requests: list[RowRequest] = []
        for work in batch:
            # The prompt ends at the start of transcript, whose logits have the probability of
            # silence; language and task are forced after it.
            first, *forced = vocabulary.start_sequence(work.language.code, work.options.task)
            prompt = (*vocabulary.previous_text(work.options), first)
            requests.append(RowRequest(_get_features(work.encoded), prompt, tuple(forced)))
        n_start = max(len(request.prompt) + len(request.forced) for request in requests)
        longest = min(options.max_new_tokens or self._longest_answer, self._text_room - n_start)
        results = (
            self._runner.generate_greedy(requests, longest)
            if temperature == 0
            else self._runner.generate_best_sample(requests, longest, temperature)
        )
        hypotheses: list[Hypothesis | Exception] = []
        for result in results:
            no_speech = float(result.opening[vocabulary.no_speech])
            path = result.path
            hypotheses.append(Hypothesis(path.tokens, path.avg_logprob, no_speech, temperature))
        return hypotheses

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Return `Unsupported` for each item: engines do not output their cross-attention."""
        error = Unsupported(
            "Backend 'tensorrt' measures no word times.", param="timestamp_granularities"
        )
        return [error for _ in batch]

    def close(self) -> None:
        """Free the GPU's memory."""
        self._runner.close()


def _get_features(encoded: Encoded) -> npt.NDArray[np.float32]:
    if not isinstance(encoded, TrtFeatures):
        raise BackendFailed("A window that was encoded by another backend cannot be decoded.")
    return encoded.features


def _load_vocabulary(files: ModelFiles, settings: EngineSettings) -> WhisperVocabulary:
    """Load the tokenizer that the operator has added, since `trtllm-build` writes none."""
    file = files.directory / "tokenizer.json"
    if not file.is_file():
        raise ModelUnavailable(
            f"Model {files.name!r} has no tokenizer.json: copy that of its Whisper there "
            f"(from openai/whisper-small on the Hugging Face hub, or another size)."
        )
    vocabulary = WhisperVocabulary(
        file, is_multilingual=settings.is_multilingual, longest_text=settings.text_positions
    )
    n_tokens = vocabulary.timestamp_begin + N_TIME_MARKS
    if n_tokens != settings.vocab_size:
        raise ModelUnavailable(
            f"Model {files.name!r} has the tokenizer.json of another Whisper: the engine has "
            f"{settings.vocab_size} tokens, the tokenizer {n_tokens}."
        )
    return vocabulary


def _describe(
    files: ModelFiles, settings: EngineSettings, vocabulary: WhisperVocabulary, workers: int
) -> Capabilities:
    card, multilingual = files.card, settings.is_multilingual
    contexts_s = card.contexts_s
    # The runtime takes no encoder output, so none can be extended by a silent tail.
    if card.silent_tail and contexts_s != (CONTEXT_S,):
        log.warning(
            "backend tensorrt has no silent tail, which the model's card requires: every window "
            "is encoded in 30 s",
            model=files.name,
        )
        contexts_s = (CONTEXT_S,)
    return Capabilities(
        model=files.name,
        backend="tensorrt",
        device="cuda",
        compute_type=settings.dtype,
        languages=vocabulary.languages() if multilingual else frozenset({"en"}),
        tasks=frozenset(Task) if multilingual else frozenset({Task.TRANSCRIBE}),
        word_times=False,
        token_probabilities=False,
        prompts=settings.takes_prompts,
        widest_beam=1,
        workers=min(workers, WORKERS),
        encode_batch=1,  # features only, on the CPU
        generate_batch=min(LARGEST_BATCH, settings.max_batch),
        longest_window_s=min(card.longest_window_s, settings.longest_window_s),
        contexts_s=contexts_s,
        context_tail_s=card.context_tail_s,
        short_context_languages=card.short_language_set,
        note=card.note,
    )
