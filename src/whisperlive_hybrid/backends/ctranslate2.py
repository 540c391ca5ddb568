"""The `faster_whisper` backend: CTranslate2's Whisper, called directly.

faster-whisper's own `WhisperModel.transcribe` decodes one stream at a time and cannot be scheduled
or batched across clients, so only its tokenizer and feature extraction are used.

Properties of CTranslate2 4.8 that matter here (all measured):

- Items of one `generate` call share the number of tokens before the start of transcript, the
  encoder length, and every option: the batch key.
- An encoder output whose length equals the number of mel bands is silently encoded again, so that
  length is not offered.
- Its worker queue has neither priorities nor cancellation. At most `Capabilities.workers` calls run
  at once, so that it stays empty.
- With int8 on the CPU the result of an item is bit for bit the same alone or in a batch.
"""

from collections.abc import Hashable, Sequence
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
from whisperlive_hybrid.backends.whisper.alignment import take_first_positions, time_tokens
from whisperlive_hybrid.backends.whisper.batch_key import batch_key
from whisperlive_hybrid.backends.whisper.encoder_output import (
    EncoderOutput,
    append_silence,
    stack_outputs,
)
from whisperlive_hybrid.backends.whisper.features import MelFeatures
from whisperlive_hybrid.backends.whisper.search import N_SAMPLES
from whisperlive_hybrid.backends.whisper.tokens import WhisperVocabulary, pick_language
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import ModelFiles
from whisperlive_hybrid.types import CONTEXT_S, TIME_MARK_S, Hypothesis, Language, Task, TokenTime

TEXT_POSITIONS: Final = 448
"""Tokens that a Whisper decoder has room for, prompt included."""

FILE_BATCH: Final = 3
"""Windows of files in one generate call on the CPU. More are little faster, need memory, and delay
live windows that arrive during such a call. Measured for base, per worker, with a context of 5 s
(30 s):

- 8 take 46 ms (325 ms) a window and 94 MB (324 MB), and last 0.37 s (2.6 s);
- 4 take 55 ms (355 ms) a window and 42 MB (130 MB), and last 0.22 s (1.4 s);
- 2 take 78 ms (432 ms) a window.

Of a whole file, encoding included, 4 cost 5 % more than 8 with a context of 5 s, and 3 cost 3 %
more than 4. A quarter of an hour needs 131 MB above the idle process with 4, and 117 MB with 3."""

_FRAMES_PER_S: Final = 100
_FRAMES_PER_POSITION: Final = round(TIME_MARK_S * _FRAMES_PER_S)
_LANGUAGE_TOKEN: Final = slice(2, -2)  # <|en|>


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
        """Load the weights; raises `ModelUnavailable` with a reason of one line."""
        self._model = _load_model(files, device, compute_type, workers)
        self._features = MelFeatures(self._model.n_mels)
        is_multilingual = self._model.is_multilingual
        self.vocabulary = WhisperVocabulary(
            files.directory / "tokenizer.json",
            is_multilingual=is_multilingual,
            longest_text=TEXT_POSITIONS,
        )
        self._suppressed = self.vocabulary.list_suppressed()
        on_gpu = self._model.device == "cuda"
        self.capabilities = Capabilities(
            model=files.name,
            backend="faster_whisper",
            device=self._model.device,
            compute_type=self._model.compute_type,
            languages=self.vocabulary.languages() if is_multilingual else frozenset({"en"}),
            tasks=frozenset(Task) if is_multilingual else frozenset({Task.TRANSCRIBE}),
            word_times=True,
            token_probabilities=True,
            prompts=True,
            workers=workers,
            encode_batch=8 if on_gpu else 1,  # on the CPU a batch is not faster (measured)
            generate_batch=16 if on_gpu else 8,
            longest_window_s=files.card.longest_window_s,
            # An output with as many positions as mel bands would be encoded again.
            contexts_s=tuple(s for s in files.card.contexts_s if s * 50 != self._model.n_mels),
            context_tail_s=files.card.context_tail_s,
            short_context_languages=files.card.short_language_set,
            note=files.card.note,
            file_batch=None if on_gpu else FILE_BATCH,
        )
        self._silence: npt.NDArray[Any] | None = None
        if files.card.silent_tail:
            features = self._features(np.zeros(0, np.float32), CONTEXT_S)
            self._silence = self._run_encoder(features[None])

    def batch_key(self, work: Work) -> Hashable:
        """Return the key of work that may share one call."""
        shared = batch_key(work, self.vocabulary)
        if isinstance(work, Align):
            # The start sequence is one argument for the whole call.
            start = self.vocabulary.start_sequence(work.language.code, work.task)
            return (*shared, tuple(start))
        return shared

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Return encoder outputs of log-mel features, padded with silence to the context."""
        context_s = batch[0].context_s
        features = np.stack([self._features(work.window.samples, context_s) for work in batch])
        output = append_silence(self._run_encoder(features), self._silence)
        return [EncoderOutput(item[None], context_s) for item in output]

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Return the most probable language of each item among its candidates."""
        rankings = self._model.detect_language(_stack([work.encoded for work in batch]))
        return [
            pick_language(
                {token[_LANGUAGE_TOKEN]: float(p) for token, p in ranking}, work.candidates
            )
            for ranking, work in zip(rankings, batch, strict=True)
        ]

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Beam search at temperature 0, else the best of five samples, as in openai/whisper."""
        options, temperature = batch[0].options, batch[0].temperature
        prompts = [self.vocabulary.full_prompt(w.language.code, w.options) for w in batch]
        max_length = TEXT_POSITIONS
        if options.max_new_tokens is not None:
            # At most min(max_length / 2, max_length - prompt + 1) tokens are returned (measured).
            needed = max(2 * options.max_new_tokens, len(prompts[0]) + options.max_new_tokens)
            max_length = min(TEXT_POSITIONS, needed)
        search: dict[str, Any] = {"beam_size": options.beam_size}
        if temperature > 0:
            # 0: from the whole distribution, as in openai/whisper.
            search = {
                "beam_size": 1,
                "num_hypotheses": N_SAMPLES,
                "sampling_topk": 0,
                "sampling_temperature": temperature,
            }
        results = self._model.generate(
            _stack([work.encoded for work in batch]),
            prompts,
            return_scores=True,
            return_no_speech_prob=True,
            max_length=max_length,
            suppress_tokens=self._suppressed,
            **search,
        )
        hypotheses: list[Hypothesis | Exception] = []
        for result in results:
            tokens = tuple(result.sequences_ids[0])
            # The score is the mean over the tokens without the end mark; Whisper's includes it.
            avg_logprob = float(result.scores[0] * len(tokens) / (len(tokens) + 1))
            no_speech_prob = float(result.no_speech_prob)
            hypotheses.append(Hypothesis(tokens, avg_logprob, no_speech_prob, temperature))
        return hypotheses

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Token times by dynamic time warping over the cross-attention (openai/whisper, 2023)."""
        # Only frames of speech, so that no token is placed in the silence after it.
        speech_s = (min(work.duration, work.encoded.context_s) for work in batch)
        results = self._model.align(
            _stack([work.encoded for work in batch]),
            self.vocabulary.start_sequence(batch[0].language.code, batch[0].task),
            [list(work.tokens) for work in batch],
            [max(round(seconds * _FRAMES_PER_S), _FRAMES_PER_POSITION) for seconds in speech_s],
        )
        answers: list[list[TokenTime] | Exception] = []
        for result, work in zip(results, batch, strict=True):
            path = np.array(result.alignments, np.intp).reshape(-1, 2)  # (token, position)
            positions = take_first_positions(path[:, 0], path[:, 1])
            answers.append(time_tokens(positions, np.array(result.text_token_probs), work))
        return answers

    def close(self) -> None:
        """Free the weights."""
        self._model.unload_model()

    def _run_encoder(self, features: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        # In main memory, so that outputs of different calls can be stacked.
        output = self._model.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)
        return np.asarray(output)


def _load_model(
    files: ModelFiles, device: str, compute_type: str, workers: int
) -> ctranslate2.models.Whisper:
    """Load the weights on a device that this machine has; raises `ModelUnavailable`."""
    try:
        device, compute_type = _choose_device(device, compute_type)
        return ctranslate2.models.Whisper(
            str(files.directory),
            device=device,
            compute_type=compute_type,
            inter_threads=workers,
            intra_threads=1,  # two workers of one thread are faster than one of two (0004)
        )
    except (RuntimeError, ValueError) as error:
        # Clients see the message, so it must not contain a path.
        reason = str(error).splitlines()[0].replace(str(files.directory), files.name)
        raise ModelUnavailable(f"Model {files.name!r} cannot be loaded: {reason}") from error


def _choose_device(device: str, compute_type: str) -> tuple[str, str]:
    """Resolve auto to the device and compute type of this machine; raises `ValueError`."""
    has_gpu = ctranslate2.get_cuda_device_count() > 0
    if device == "auto":
        device = "cuda" if has_gpu else "cpu"
    elif device == "gpu":
        raise ValueError(
            "WHISPERLIVE_DEVICE=gpu is Intel's, for backend openvino; backend faster_whisper runs "
            "on cpu or cuda."
        )
    elif device == "cuda" and not has_gpu:
        raise ValueError(
            "WHISPERLIVE_DEVICE=cuda, but no NVIDIA GPU can be used here: none is there, its "
            "driver is missing or too old, or the container was started without it. Use cpu or "
            "auto."
        )
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else "int8"
    supported = ctranslate2.get_supported_compute_types(device)
    if compute_type not in {"default", *supported}:  # default: as the weights were converted
        raise ValueError(
            f"WHISPERLIVE_COMPUTE_TYPE={compute_type!r} is not supported on this machine's "
            f"{device}: use one of {', '.join(['auto', *sorted(supported)])}."
        )
    return device, compute_type


def _stack(encoded: Sequence[Encoded]) -> ctranslate2.StorageView:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(stack_outputs(encoded)))
