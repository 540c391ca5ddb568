"""The `openvino` backend: models as optimum-intel exports them, on OpenVINO's own runtime.

openvino-genai's `WhisperPipeline` decodes whole files and can be neither scheduled nor batched
across clients, so the encoder and the stateful decoder are run here, and the search over the
decoder's logits is ours (search.py). Measured, or known of the runtime:

- On the CPU a stream of one thread is a worker; the weights are shared by all streams.
- An infer request carries the decoder's states: each call borrows one for itself.
- The cache is kept in float32. Its usual 8 bits would let an answer depend on its neighbours.
- No padding is masked in the exported decoder: prompts of one call have the same length.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from whisperlive_hybrid.backends.openvino.decoder import Hidden
from whisperlive_hybrid.backends.openvino.loading import ExportedSettings, OvModels, load_models
from whisperlive_hybrid.backends.silent_tail import short_context_languages, with_silent_tail
from whisperlive_hybrid.backends.whisper.alignment import (
    first_positions,
    heard_positions,
    token_times,
)
from whisperlive_hybrid.backends.whisper.batch_key import batch_key
from whisperlive_hybrid.backends.whisper.features import MelFeatures
from whisperlive_hybrid.backends.whisper.search import BeamSearch, Sampling, Search, run, softmax
from whisperlive_hybrid.backends.whisper.tokens import WhisperVocabulary
from whisperlive_hybrid.models.files import ModelFiles
from whisperlive_hybrid.types import CONTEXT_S, TIME_MARK_S, Hypothesis, Language, Task, TokenTime

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class OvEncoded:
    """Encoder output of one window: (1, positions, width), in this process's memory."""

    output: Hidden
    context_s: float

    @property
    def seen_s(self) -> float:
        """The length that the decoder sees."""
        return float(self.output.shape[1] * TIME_MARK_S)


class _Pool(Generic[T]):
    """Things of which one call at a time may use each."""

    def __init__(self, things: Sequence[T]) -> None:
        self._free: SimpleQueue[T] = SimpleQueue()
        for thing in things:
            self._free.put(thing)

    @contextmanager
    def borrowed(self) -> Iterator[T]:
        """One that nobody else has meanwhile; there are as many as calls at once, so none waits."""
        thing = self._free.get_nowait()
        try:
            yield thing
        finally:
            self._free.put(thing)


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
        """Load and compile; raises `ModelUnavailable` with one line that says why not."""
        settings = ExportedSettings(files.directory)
        self._vocabulary = WhisperVocabulary(
            files.directory / "tokenizer.json",
            is_multilingual=settings.is_multilingual,
            longest_text=settings.config.max_target_positions,
        )
        models = load_models(files, settings, device, compute_type, workers)
        each = range(workers)
        self._encoders = _Pool([models.encoder.create_infer_request() for _ in each])
        self._decoders = _Pool([models.new_decoder() for _ in each])
        self._aligners = _Pool([models.new_aligner() for _ in each if models.aligner])
        self._features = MelFeatures(settings.config.num_mel_bins)
        self._text_positions = settings.config.max_target_positions
        self._rules = self._vocabulary.rules()
        self._capabilities = _describe(files, settings, models, self._vocabulary, workers)
        self._silence: npt.NDArray[np.float32] | None = None
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
        return batch_key(work, self._vocabulary)

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """Log-mel features and the encoder, each window padded with silence to its context."""
        context_s = batch[0].context_s
        features = np.stack([self._features(work.window.samples, context_s) for work in batch])
        output = with_silent_tail(self._encoded(features), self._silence)
        return [OvEncoded(item[None], context_s) for item in output]

    def _encoded(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with self._encoders.borrowed() as encoder:
            encoder.infer([features])
            output: npt.NDArray[np.float32] = encoder.get_output_tensor(0).data.astype(np.float32)
            return output  # a copy

    def detect_language(self, batch: Sequence[DetectLanguage]) -> list[Language | Exception]:
        """The most probable language token after the start of transcript, among its candidates."""
        tokens = self._vocabulary.language_tokens()
        prompts = np.full((len(batch), 1), self._vocabulary.start_of_transcript)
        with self._decoders.borrowed() as decoder:
            logits = decoder.start(_stacked([work.encoded for work in batch]), prompts, [0])[:, 0]
        shares = softmax(logits[:, list(tokens.values())])
        return [
            _likeliest(dict(zip(tokens, row.tolist(), strict=True)), work)
            for row, work in zip(shares, batch, strict=True)
        ]

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Beam search at temperature 0, else the best of five samples, as openai/whisper does."""
        options, temperature = batch[0].options, batch[0].temperature
        prompts = np.array([self._prompt(work) for work in batch])
        n_before, n_prompt = len(self._vocabulary.previous_text(options)), prompts.shape[1]
        searches: list[Search] = [self._search(options.beam_size, temperature) for _ in batch]
        longest = min(
            options.max_new_tokens or self._text_positions // 2, self._text_positions - n_prompt
        )
        with self._decoders.borrowed() as decoder:
            hidden = _stacked([work.encoded for work in batch])
            logits = decoder.start(hidden, prompts, [n_before, n_prompt - 1])
            no_speech = softmax(logits[:, 0])[:, self._vocabulary.no_speech]
            run(searches, decoder, logits[:, 1], self._rules, longest)
        paths = [search.best() for search in searches]
        return [
            Hypothesis(path.tokens, path.avg_logprob, float(silence), temperature)
            for path, silence in zip(paths, no_speech, strict=True)
        ]

    def align(self, batch: Sequence[Align]) -> list[list[TokenTime] | Exception]:
        """Token times by dynamic time warping over the cross-attention (openai/whisper, 2023)."""
        rows = _padded([self._aligned_prompt(work) for work in batch], self._rules.end)
        # Of every item alike: start of transcript, or with language and task.
        n_start = len(self._vocabulary.start_sequence(batch[0].language.code, batch[0].task))
        with self._aligners.borrowed() as aligner:
            hidden = _stacked([work.encoded for work in batch])
            logits = aligner.start(hidden, rows, range(n_start, rows.shape[1] - 2))
            scores = np.concatenate(aligner.attention(), axis=1)
        spoken = softmax(logits[:, :, : self._rules.end])
        return [
            _token_times(heads, probabilities, work, n_start)
            for heads, probabilities, work in zip(scores, spoken, batch, strict=True)
        ]

    def close(self) -> None:
        """Free the weights: the requests hold them."""
        self._encoders = self._decoders = self._aligners = _Pool[Any]([])

    def _prompt(self, work: Generate) -> list[int]:
        start = self._vocabulary.start_sequence(work.language.code, work.options.task)
        return self._vocabulary.previous_text(work.options) + start

    def _aligned_prompt(self, work: Align) -> list[int]:
        start = self._vocabulary.start_sequence(work.language.code, work.task)
        return [*start, self._vocabulary.no_timestamps, *work.tokens, self._rules.end]

    def _search(self, beam_size: int, temperature: float) -> Search:
        end = self._rules.end
        return BeamSearch(beam_size, end) if temperature == 0 else Sampling(temperature, end)


def _describe(
    files: ModelFiles,
    settings: ExportedSettings,
    models: OvModels,
    vocabulary: WhisperVocabulary,
    workers: int,
) -> Capabilities:
    multilingual = settings.is_multilingual
    return Capabilities(
        model=files.name,
        backend="openvino",
        device=models.device,
        compute_type=models.compute_type,
        languages=vocabulary.languages() if multilingual else frozenset({"en"}),
        tasks=frozenset(Task) if multilingual else frozenset({Task.TRANSCRIBE}),
        word_times=models.aligner is not None,
        token_probabilities=models.aligner is not None,
        prompts=True,
        workers=workers,
        encode_batch=1 if models.device == "cpu" else 8,
        generate_batch=4,  # on the CPU more gain nothing at 5 s, and lose at 30 s (measured)
        longest_window_s=files.card.longest_window_s,
        contexts_s=files.card.contexts_s if models.any_length else (CONTEXT_S,),
        context_tail_s=files.card.context_tail_s,
        short_context_languages=short_context_languages(files.card),
        note=files.card.note,
    )


def _stacked(encoded: Sequence[Encoded]) -> Hidden:
    outputs = [item.output for item in encoded if isinstance(item, OvEncoded)]
    return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


def _likeliest(shares: Mapping[str, float], work: DetectLanguage) -> Language:
    """The candidate with the largest share; capabilities have checked that there is one."""
    allowed = [code for code in shares if not work.candidates or code in work.candidates]
    code = max(allowed, key=lambda each: shares[each])
    return Language(code, shares[code])


def _padded(rows: Sequence[Sequence[int]], end: int) -> npt.NDArray[np.int64]:
    """Rows of one length; no token sees what stands behind it, so anything may."""
    longest = max(len(row) for row in rows)
    return np.array([[*row, *[end] * (longest - len(row))] for row in rows], np.int64)


def _token_times(
    scores: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
    work: Align,
    n_start: int,
) -> list[TokenTime]:
    """From scores (heads, rows, positions) and probabilities (rows, text tokens) of one item."""
    n_tokens = len(work.tokens)
    attention = softmax(scores[:, : n_start + n_tokens + 2, : heard_positions(work)])
    said = probabilities[np.arange(n_tokens), list(work.tokens)]
    return token_times(first_positions(attention, n_start), said, work)
