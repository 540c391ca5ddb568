"""The `tensorrt` backend: engines that TensorRT-LLM has built, on NVIDIA GPUs.

**Nothing here has run on a GPU yet.** It is written from TensorRT-LLM's source, and tested against
a stand-in for its runtime (tests/trt_double.py); docs/backends.md tells what that leaves open.

The runtime encodes inside of `generate`, and takes no encoder output. So the encode step computes
the features only, on the CPU, and the encoder runs again in each call that follows: to detect the
language, to write, to write once more at another temperature. In exchange a call does all the rest
without us. docs/decisions/0013 tells why.
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
from whisperlive_hybrid.backends.silent_tail import short_context_languages
from whisperlive_hybrid.backends.tensorrt.config import EngineSettings
from whisperlive_hybrid.backends.tensorrt.logits import Wish
from whisperlive_hybrid.backends.tensorrt.runner import TrtRunner
from whisperlive_hybrid.backends.whisper.batch_key import batch_key
from whisperlive_hybrid.backends.whisper.features import MelFeatures
from whisperlive_hybrid.backends.whisper.tokens import WhisperVocabulary
from whisperlive_hybrid.errors import BackendFailed, ModelUnavailable, Unsupported
from whisperlive_hybrid.models.files import ModelFiles
from whisperlive_hybrid.types import CONTEXT_S, Hypothesis, Language, Task, TokenTime

LARGEST_BATCH: Final = 16
"""Windows per call, if the engine takes as many; as CTranslate2 is given on a GPU."""

WORKERS: Final = 2
"""One call computes features on the CPU while another is on the GPU, which takes one at a time."""

N_TIME_MARKS: Final = 1501
"""From 0.00 to 30.00 s: the last tokens of every Whisper."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class TrtEncoded:
    """The features of one window, (frames, bands), in this process's memory; not yet encoded."""

    features: npt.NDArray[np.float32]
    context_s: float

    @property
    def seen_s(self) -> float:
        """As long as it was encoded."""
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
        """Load the engines; raises `ModelUnavailable` with one line that says why not."""
        settings = EngineSettings(files.directory, files.name)
        _check_wishes(files.name, settings, device, compute_type)
        self._vocabulary = _vocabulary(files, settings)
        self._features = MelFeatures(settings.n_mels)
        self._text_room = settings.text_room
        self._longest_answer = settings.text_positions // 2
        self._capabilities = _describe(files, settings, self._vocabulary, workers)
        rows = self._capabilities.generate_batch
        self._runner = TrtRunner(files, settings, self._vocabulary.rules(), rows)

    @property
    def capabilities(self) -> Capabilities:
        """What the loaded model can do."""
        return self._capabilities

    @property
    def vocabulary(self) -> WhisperVocabulary:
        """The model's own tokenizer."""
        return self._vocabulary

    def batch_key(self, work: Work) -> Hashable:
        """What items of one call have in common.

        The runtime asks for equal temperatures and bounds only; equal lengths keep short contexts
        from waiting for long ones.
        """
        return batch_key(work, self._vocabulary)

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Log-mel features, each window padded with silence to its context."""
        return [
            TrtEncoded(self._features(work.window.samples, work.context_s).T, work.context_s)
            for work in batch
        ]

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """The most probable language token after the start of transcript, among its candidates."""
        start = (self._vocabulary.start_of_transcript,)
        wishes = [Wish(_features(work.encoded), start) for work in batch]
        answers = self._runner.greedy(wishes, longest=1)
        return [
            self._likeliest(answer.opening, work)
            for answer, work in zip(answers, batch, strict=True)
        ]

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """The likeliest token each time at temperature 0, else the best of five samples."""
        options, temperature = batch[0].options, batch[0].temperature
        wishes = [self._wish(work) for work in batch]
        n_start = max(len(wish.prompt) + len(wish.forced) for wish in wishes)
        longest = min(options.max_new_tokens or self._longest_answer, self._text_room - n_start)
        answers = (
            self._runner.greedy(wishes, longest)
            if temperature == 0
            else self._runner.sampled(wishes, longest, temperature)
        )
        silence = self._vocabulary.no_speech
        return [
            Hypothesis(
                each.path.tokens, each.path.avg_logprob, float(each.opening[silence]), temperature
            )
            for each in answers
        ]

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Not possible: the engines keep their cross-attention to themselves."""
        refusal = Unsupported(
            "Backend 'tensorrt' measures no word times.", param="timestamp_granularities"
        )
        return [refusal for _ in batch]

    def close(self) -> None:
        """Free the GPU's memory."""
        self._runner.close()

    def _wish(self, work: Generate) -> Wish:
        """The prompt up to the start of transcript; what the start says is forced behind it."""
        vocabulary = self._vocabulary
        first, *said = vocabulary.start_sequence(work.language.code, work.options.task)
        prompt = (*vocabulary.previous_text(work.options), first)
        return Wish(_features(work.encoded), prompt, tuple(said))

    def _likeliest(self, probabilities: npt.NDArray[np.float32], work: DetectLanguage) -> Language:
        """The candidate with the largest share of what languages have together."""
        found = {
            code: float(probabilities[token])
            for code, token in self._vocabulary.language_tokens().items()
        }
        allowed = [code for code in found if not work.candidates or code in work.candidates]
        code = max(allowed, key=lambda each: found[each])
        return Language(code, found[code] / sum(found.values()))


def _features(encoded: Encoded) -> npt.NDArray[np.float32]:
    if not isinstance(encoded, TrtEncoded):
        raise BackendFailed("A window that another backend has encoded cannot be read here.")
    return encoded.features


def _check_wishes(name: str, settings: EngineSettings, device: str, compute_type: str) -> None:
    """Raise `ModelUnavailable` for a device or a type of number that these engines are not for."""
    if device not in {"auto", "cuda"}:
        raise ModelUnavailable(
            f"Model {name!r} cannot be loaded: backend tensorrt runs on cuda (NVIDIA), not on "
            f"{device!r}."
        )
    if compute_type not in {"auto", settings.dtype}:
        raise ModelUnavailable(
            f"Model {name!r} cannot be loaded: it was built to compute in {settings.dtype}, not in "
            f"{compute_type!r}; int8 is a matter of its weights."
        )


def _vocabulary(files: ModelFiles, settings: EngineSettings) -> WhisperVocabulary:
    """The tokenizer that the operator has put beside the engines: `trtllm-build` writes none."""
    file = files.directory / "tokenizer.json"
    if not file.is_file():
        raise ModelUnavailable(
            f"Model {files.name!r} has no tokenizer.json: copy that of its Whisper there "
            f"(from openai/whisper-small on the Hugging Face hub, or its sisters)."
        )
    vocabulary = WhisperVocabulary(
        file, is_multilingual=settings.is_multilingual, longest_text=settings.text_positions
    )
    if vocabulary.timestamp_begin + N_TIME_MARKS != settings.vocab_size:
        raise ModelUnavailable(
            f"Model {files.name!r} has the tokenizer.json of another Whisper: the engine knows "
            f"{settings.vocab_size} tokens, and this one "
            f"{vocabulary.timestamp_begin + N_TIME_MARKS}."
        )
    return vocabulary


def _describe(
    files: ModelFiles, settings: EngineSettings, vocabulary: WhisperVocabulary, workers: int
) -> Capabilities:
    multilingual = settings.is_multilingual
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
        encode_batch=1,  # features alone, on the CPU
        generate_batch=min(LARGEST_BATCH, settings.max_batch),
        longest_window_s=min(files.card.longest_window_s, settings.longest_window_s),
        contexts_s=_contexts_s(files),
        context_tail_s=files.card.context_tail_s,
        short_context_languages=short_context_languages(files.card),
        note=files.card.note,
    )


def _contexts_s(files: ModelFiles) -> tuple[float, ...]:
    """The contexts of the card, or the full one alone where the others need a silent tail.

    The runtime encodes inside of `generate` and takes no encoder output, so none can be filled up.
    """
    card = files.card
    if card.silent_tail and card.contexts_s != (CONTEXT_S,):
        log.warning(
            "backend tensorrt has no silent tail, which the model's card asks for: every window "
            "is read in 30 s",
            model=files.name,
        )
        return (CONTEXT_S,)
    return card.contexts_s
