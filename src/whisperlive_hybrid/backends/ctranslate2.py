"""The `faster_whisper` backend: CTranslate2's Whisper, called directly.

faster-whisper's own `WhisperModel.transcribe` decodes one stream at a time and cannot be scheduled
or batched across clients, so only its tokenizer and feature extraction are used.

What CTranslate2 4.8 needs to be told, or must never meet (all measured):

- Items of one `generate` call share the number of tokens before the start of transcript, the
  encoder length, and every option: the batch key.
- An encoder output whose length equals the number of mel bands is silently encoded again.
- Its worker queue knows neither priority nor cancellation. At most `Capabilities.workers` calls run
  at once here, so that it stays empty.
- With int8 on the CPU the answer for an item is bit for bit the same alone or in a batch.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ctranslate2
import numpy as np
import numpy.typing as npt

from whisperlive_hybrid.backends.base import (
    Align,
    Capabilities,
    DetectLanguage,
    Encode,
    Encoded,
    Generate,
    Work,
)
from whisperlive_hybrid.backends.silent_tail import short_context_languages, with_silent_tail
from whisperlive_hybrid.backends.whisper.alignment import token_times
from whisperlive_hybrid.backends.whisper.batch_key import batch_key
from whisperlive_hybrid.backends.whisper.features import MelFeatures
from whisperlive_hybrid.backends.whisper.tokens import WhisperVocabulary
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import ModelFiles
from whisperlive_hybrid.types import CONTEXT_S, TIME_MARK_S, Hypothesis, Language, Task, TokenTime

TEXT_POSITIONS: Final = 448
"""Tokens that a Whisper decoder has room for, prompt included."""

FILE_BATCH: Final = 3
"""Windows of files in one generate on the CPU: more win little, need memory, and let everybody wait
who comes while such a call runs. Measured for base, per worker, with a context of 5 s (30 s):

- 8 take 46 ms (325 ms) a window and 94 MB (324 MB), and last 0.37 s (2.6 s);
- 4 take 55 ms (355 ms) a window and 42 MB (130 MB), and last 0.22 s (1.4 s);
- 2 take 78 ms (432 ms) a window.

Of a whole file, encoding and all, 4 cost 5 % more than 8 with a context of 5 s, and 3 cost 3 % more
than 4. A quarter of an hour needs 131 MB above the idle process with 4, and 117 MB with 3."""

_FRAMES_PER_S: Final = 100
_LANGUAGE_TOKEN: Final = slice(2, -2)  # <|en|>


@dataclass(frozen=True, slots=True, eq=False)
class Ct2Encoded:
    """Encoder output of one window: (1, positions, width), on the CPU."""

    output: npt.NDArray[Any]
    context_s: float

    @property
    def seen_s(self) -> float:
        """The length that the decoder sees."""
        return float(self.output.shape[1] * TIME_MARK_S)


class Ct2Backend:
    """One CTranslate2 model; `workers` threads may call it at once and share its weights."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        device: str = "auto",
        compute_type: str = "auto",
        workers: int = 1,
    ) -> None:
        """Load the weights; raises `ModelUnavailable` with one line that says why not."""
        try:
            device = _resolved(device)
            if compute_type == "auto":
                compute_type = "float16" if device == "cuda" else "int8"
            _check_type(compute_type, device)
            self._model = ctranslate2.models.Whisper(
                str(files.directory),
                device=device,
                compute_type=compute_type,
                inter_threads=workers,
                intra_threads=1,
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0].replace(str(files.directory), files.name)
            raise ModelUnavailable(f"Model {files.name!r} cannot be loaded: {reason}") from error
        self._features = MelFeatures(self._model.n_mels)
        self._vocabulary = WhisperVocabulary(
            files.directory / "tokenizer.json",
            is_multilingual=self._model.is_multilingual,
            longest_text=TEXT_POSITIONS,
        )
        self._suppressed = self._vocabulary.suppressed()
        self._capabilities = self._describe(files, workers)
        self._silence: npt.NDArray[Any] | None = None
        if files.card.silent_tail:
            self._silence = self._encoded(self._features(np.zeros(0, np.float32), CONTEXT_S)[None])

    @property
    def capabilities(self) -> Capabilities:
        """What the loaded model can do."""
        return self._capabilities

    @property
    def vocabulary(self) -> WhisperVocabulary:
        """The model's own tokenizer."""
        return self._vocabulary

    def batch_key(self, work: Work) -> Hashable:
        """What items of one call must have in common."""
        shared = batch_key(work, self._vocabulary)
        if isinstance(work, Align):
            start = self._vocabulary.start_sequence(work.language.code, work.task)
            return (*shared, tuple(start))
        return shared

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Log-mel features and the encoder, each window padded with silence to its context."""
        context_s = batch[0].context_s
        features = np.stack([self._features(work.window.samples, context_s) for work in batch])
        output = with_silent_tail(self._encoded(features), self._silence)
        return [Ct2Encoded(item[None], context_s) for item in output]

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """The most probable language of each encoder output, among its candidates."""
        ranked = self._model.detect_language(_stacked([work.encoded for work in batch]))
        return [_likeliest(ranking, work) for ranking, work in zip(ranked, batch, strict=True)]

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Beam search at temperature 0, else the best of five samples, as openai/whisper does."""
        options, temperature = batch[0].options, batch[0].temperature
        prompts = [self._prompt(work) for work in batch]
        search: dict[str, Any] = (
            {"beam_size": options.beam_size}
            if temperature == 0
            else {
                "beam_size": 1,
                "num_hypotheses": 5,
                "sampling_topk": 0,
                "sampling_temperature": temperature,
            }
        )
        results = self._model.generate(
            _stacked([work.encoded for work in batch]),
            prompts,
            return_scores=True,
            return_no_speech_prob=True,
            max_length=_max_length(options.max_new_tokens, len(prompts[0])),
            suppress_tokens=self._suppressed,
            **search,
        )
        return [_hypothesis(result, temperature) for result in results]

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Token times by dynamic time warping over the cross-attention (openai/whisper, 2023)."""
        results = self._model.align(
            _stacked([work.encoded for work in batch]),
            self._vocabulary.start_sequence(batch[0].language.code, batch[0].task),
            [list(work.tokens) for work in batch],
            [_heard_frames(work) for work in batch],
        )
        return [_token_times(result, work) for result, work in zip(results, batch, strict=True)]

    def close(self) -> None:
        """Free the weights."""
        self._model.unload_model()

    def _encoded(self, features: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        output = self._model.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)
        return np.asarray(output)

    def _prompt(self, work: Generate) -> list[int]:
        start = self._vocabulary.start_sequence(work.language.code, work.options.task)
        return self._vocabulary.previous_text(work.options) + start

    def _describe(self, files: ModelFiles, workers: int) -> Capabilities:
        on_gpu = self._model.device == "cuda"
        multilingual = self._model.is_multilingual
        contexts = [s for s in files.card.contexts_s if s * 50 != self._model.n_mels]
        return Capabilities(
            model=files.name,
            backend="faster_whisper",
            device=self._model.device,
            compute_type=self._model.compute_type,
            languages=self._vocabulary.languages() if multilingual else frozenset({"en"}),
            tasks=frozenset(Task) if multilingual else frozenset({Task.TRANSCRIBE}),
            word_times=True,
            token_probabilities=True,
            prompts=True,
            workers=workers,
            encode_batch=8 if on_gpu else 1,  # on the CPU a batched encode gains nothing (measured)
            generate_batch=16 if on_gpu else 8,
            longest_window_s=files.card.longest_window_s,
            contexts_s=tuple(contexts),
            context_tail_s=files.card.context_tail_s,
            short_context_languages=short_context_languages(files.card),
            note=files.card.note,
            file_batch=None if on_gpu else FILE_BATCH,
        )


def _resolved(device: str) -> str:
    has_gpu = ctranslate2.get_cuda_device_count() > 0
    match device:
        case "auto":
            return "cuda" if has_gpu else "cpu"
        case "gpu":
            raise ValueError(
                "WHISPERLIVE_DEVICE=gpu is Intel's, for backend openvino; backend faster_whisper "
                "runs on cpu or cuda."
            )
        case "cuda" if not has_gpu:
            raise ValueError(
                "WHISPERLIVE_DEVICE=cuda, but no NVIDIA GPU can be used here: none is there, its "
                "driver is missing or too old, or the container was not given it. Use cpu or auto."
            )
        case _:
            return device


def _check_type(compute_type: str, device: str) -> None:
    known = ctranslate2.get_supported_compute_types(device)
    if compute_type not in {"default", *known}:  # the former is as the weights were converted
        raise ValueError(
            f"WHISPERLIVE_COMPUTE_TYPE={compute_type!r} is no type that this machine's {device} "
            f"computes in: {', '.join(['auto', *sorted(known)])}."
        )


def _stacked(encoded: Sequence[Encoded]) -> ctranslate2.StorageView:
    outputs = [item.output for item in encoded if isinstance(item, Ct2Encoded)]
    batch = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(batch))


def _likeliest(ranking: Sequence[tuple[str, float]], work: DetectLanguage) -> Language:
    """The first of a ranking that is a candidate; capabilities have checked that there is one."""
    heard = ((token[_LANGUAGE_TOKEN], float(probability)) for token, probability in ranking)
    allowed = work.candidates
    return next(Language(code, p) for code, p in heard if not allowed or code in allowed)


def _max_length(max_new_tokens: int | None, prompt_length: int) -> int:
    """CTranslate2's `max_length` for at least `max_new_tokens` new tokens.

    It returns at most min(max_length / 2, max_length - prompt + 1) tokens (measured).
    """
    if max_new_tokens is None:
        return TEXT_POSITIONS
    return min(TEXT_POSITIONS, max(2 * max_new_tokens, prompt_length + max_new_tokens))


def _hypothesis(result: Any, temperature: float) -> Hypothesis:  # noqa: ANN401 (CTranslate2 is untyped)
    tokens = tuple(result.sequences_ids[0])
    # The score is the mean over the tokens without the end mark; Whisper's mean counts that too.
    avg_logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
    return Hypothesis(tokens, float(avg_logprob), float(result.no_speech_prob), temperature)


def _heard_frames(work: Align) -> int:
    """Mel frames to align in: those of the speech, and at least one encoder position."""
    frames = round(min(work.duration, work.encoded.context_s) * _FRAMES_PER_S)
    return max(frames, round(TIME_MARK_S * _FRAMES_PER_S))


def _token_times(result: Any, work: Align) -> list[TokenTime]:  # noqa: ANN401 (as above)
    token_indices = np.array([pair[0] for pair in result.alignments])
    positions = np.array([pair[1] for pair in result.alignments])
    is_first = np.diff(token_indices, prepend=-1).astype(bool)
    return token_times(positions[is_first], np.array(result.text_token_probs), work)
