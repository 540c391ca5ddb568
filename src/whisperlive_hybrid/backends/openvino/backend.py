"""The `openvino` backend: models as optimum-intel exports them, on OpenVINO's own runtime.

openvino-genai's `WhisperPipeline` decodes whole files and can be neither scheduled nor batched
across clients, so the encoder and the stateful decoder run here, with the search of search.py.
Measured, or documented for the runtime:

- On the CPU a stream of one thread is a worker; all streams share the weights.
- An infer request holds the decoder's states, so each call borrows one exclusively.
- The cache is kept in float32. With its default of 8 bits a result would depend on the batch.
- The exported decoder masks no padding, so the prompts of one call have the same length.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

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
from whisperlive_hybrid.backends.openvino.loading import ExportedSettings, load_models
from whisperlive_hybrid.backends.whisper.alignment import (
    count_speech_positions,
    locate_tokens,
    time_tokens,
)
from whisperlive_hybrid.backends.whisper.batch_key import batch_key
from whisperlive_hybrid.backends.whisper.encoder_output import (
    EncoderOutput,
    append_silence,
    stack_outputs,
)
from whisperlive_hybrid.backends.whisper.features import MelFeatures
from whisperlive_hybrid.backends.whisper.search import (
    BeamSearch,
    Sampling,
    Search,
    run_searches,
    softmax,
)
from whisperlive_hybrid.backends.whisper.tokens import WhisperVocabulary, pick_language
from whisperlive_hybrid.models.files import ModelFiles
from whisperlive_hybrid.types import CONTEXT_S, Hypothesis, Language, Task, TokenTime

T = TypeVar("T")


class _Pool(Generic[T]):
    """Objects that are lent to one call at a time, as many as there are calls at once."""

    def __init__(self, members: Sequence[T]) -> None:
        self._free: SimpleQueue[T] = SimpleQueue()
        for member in members:
            self._free.put(member)

    @contextmanager
    def borrow(self) -> Iterator[T]:
        """Lend a free member while inside; there always is one, so no call waits."""
        member = self._free.get_nowait()
        try:
            yield member
        finally:
            self._free.put(member)


class OpenVinoBackend:
    """One exported Whisper; `workers` threads may call it at once and share its weights."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        device: str = "auto",
        compute_type: str = "auto",
        workers: int = 1,
    ) -> None:
        """Load and compile; raises `ModelUnavailable` with a reason of one line."""
        settings = ExportedSettings(files.directory)
        self._text_positions = settings.config.max_target_positions
        self.vocabulary = WhisperVocabulary(
            files.directory / "tokenizer.json",
            is_multilingual=settings.is_multilingual,
            longest_text=self._text_positions,
        )
        self._rules = self.vocabulary.rules()
        models = load_models(files, settings, device, compute_type, workers)
        # A request for each worker, so that no call waits for another.
        n = range(workers)
        self._encoders = _Pool([models.encoder.create_infer_request() for _ in n])
        self._decoders = _Pool([models.new_decoder() for _ in n])
        self._aligners = _Pool([models.new_aligner() for _ in n if models.aligner])
        self._features = MelFeatures(settings.config.num_mel_bins)
        multilingual = settings.is_multilingual
        self.capabilities = Capabilities(
            model=files.name,
            backend="openvino",
            device=models.device,
            compute_type=models.compute_type,
            languages=self.vocabulary.languages() if multilingual else frozenset({"en"}),
            tasks=frozenset(Task) if multilingual else frozenset({Task.TRANSCRIBE}),
            word_times=models.aligner is not None,
            token_probabilities=models.aligner is not None,
            prompts=True,
            workers=workers,
            encode_batch=1 if models.device == "cpu" else 8,
            generate_batch=4,  # on the CPU more are not faster at 5 s, slower at 30 s (measured)
            longest_window_s=files.card.longest_window_s,
            contexts_s=files.card.contexts_s if models.any_length else (CONTEXT_S,),
            context_tail_s=files.card.context_tail_s,
            short_context_languages=files.card.short_language_set,
            note=files.card.note,
        )
        self._silence: npt.NDArray[np.float32] | None = None
        if files.card.silent_tail:
            features = self._features(np.zeros(0, np.float32), CONTEXT_S)
            self._silence = self._run_encoder(features[None])

    def batch_key(self, work: Work) -> Hashable:
        """Return the key of work that may share one call."""
        return batch_key(work, self.vocabulary)

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Return encoder outputs of log-mel features, padded with silence to the context."""
        context_s = batch[0].context_s
        features = np.stack([self._features(work.window.samples, context_s) for work in batch])
        output = append_silence(self._run_encoder(features), self._silence)
        return [EncoderOutput(item[None], context_s) for item in output]

    def _run_encoder(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with self._encoders.borrow() as encoder:
            encoder.infer([features])
            output: npt.NDArray[np.float32] = encoder.get_output_tensor(0).data.astype(np.float32)
            return output  # a copy: the next call overwrites the tensor

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """Return the most probable language of each item among its candidates."""
        tokens = self.vocabulary.language_tokens()
        prompts = np.full((len(batch), 1), self.vocabulary.start_of_transcript)
        hidden = stack_outputs([work.encoded for work in batch])
        with self._decoders.borrow() as decoder:
            logits = decoder.start(hidden, prompts, [0])[:, 0]
        shares = softmax(logits[:, list(tokens.values())])
        return [
            pick_language(dict(zip(tokens, row.tolist(), strict=True)), work.candidates)
            for row, work in zip(shares, batch, strict=True)
        ]

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Beam search at temperature 0, else the best of five samples, as in openai/whisper."""
        options, temperature = batch[0].options, batch[0].temperature
        prompts = np.array([self.vocabulary.full_prompt(w.language.code, w.options) for w in batch])
        n_before, n_prompt = len(self.vocabulary.previous_text(options)), prompts.shape[1]
        end = self._rules.end
        searches: list[Search] = [
            BeamSearch(options.beam_size, end) if temperature == 0 else Sampling(temperature, end)
            for _ in batch
        ]
        longest = min(
            options.max_new_tokens or self._text_positions // 2, self._text_positions - n_prompt
        )
        hidden = stack_outputs([work.encoded for work in batch])
        with self._decoders.borrow() as decoder:
            # After the start of transcript (for "no speech"), and after the whole prompt.
            logits = decoder.start(hidden, prompts, [n_before, n_prompt - 1])
            no_speech = softmax(logits[:, 0])[:, self.vocabulary.no_speech]
            run_searches(searches, decoder, logits[:, 1], self._rules, longest)
        paths = [search.best() for search in searches]
        return [
            Hypothesis(path.tokens, path.avg_logprob, float(silence), temperature)
            for path, silence in zip(paths, no_speech, strict=True)
        ]

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Token times by dynamic time warping over the cross-attention (openai/whisper, 2023)."""
        end, no_timestamps = self._rules.end, self.vocabulary.no_timestamps
        start_of = self.vocabulary.start_sequence
        # Equal for all items: 3 tokens, or 1 of an English-only model.
        n_start = len(start_of(batch[0].language.code, batch[0].task))
        rows = [
            [*start_of(work.language.code, work.task), no_timestamps, *work.tokens, end]
            for work in batch
        ]
        longest = max(len(row) for row in rows)
        # No token sees those after it, so the padding is arbitrary.
        padded = np.array([[*row, *[end] * (longest - len(row))] for row in rows], np.int64)
        hidden = stack_outputs([work.encoded for work in batch])
        with self._aligners.borrow() as aligner:
            # The logits that predict the text tokens.
            logits = aligner.start(hidden, padded, range(n_start, longest - 2))
            scores = np.concatenate(aligner.attention(), axis=1)
        probabilities = softmax(logits[:, :, :end])  # among text tokens
        answers: list[list[TokenTime] | Exception] = []
        for i, work in enumerate(batch):
            n_tokens = len(work.tokens)
            n_rows, n_positions = n_start + n_tokens + 2, count_speech_positions(work)
            attention = softmax(scores[i, :, :n_rows, :n_positions])
            of_tokens = probabilities[i, np.arange(n_tokens), list(work.tokens)]
            answers.append(time_tokens(locate_tokens(attention, n_start), of_tokens, work))
        return answers

    def close(self) -> None:
        """Free the weights, which the infer requests hold."""
        self._encoders = self._decoders = self._aligners = _Pool[Any]([])
