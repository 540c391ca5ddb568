"""A quick test while training: greedy transcription of unseen single sentences."""

from collections.abc import Sequence

import numpy as np
import torch
from demo_speech.grammar import LANGUAGES
from tokenizers import Tokenizer

from demo_model.clips import FULL_FRAMES
from demo_model.metrics import word_error_rate
from demo_model.network import Whisper
from demo_model.pool import Pool, Utterance
from demo_model.spectrogram import N_MELS, LogMel
from demo_model.tokenizer import Vocabulary


class Examiner:
    """Transcribes unseen single sentences greedily."""

    def __init__(self, pool: Pool, tokenizer: Tokenizer) -> None:
        self._pool = pool
        self._tokenizer = tokenizer
        self._vocabulary = Vocabulary.of(tokenizer)
        self._log_mel = LogMel()

    def word_error_rates(
        self, model: Whisper, *, full_window: bool, count: int
    ) -> dict[str, float]:
        """Return percent per language, over `count` sentences padded to 30 s or to the longest."""
        rates: dict[str, float] = {}
        for index, language in enumerate(LANGUAGES):
            utterances = self._pool.in_language(language)[:count]
            mel = self._spectrograms(utterances, full_window=full_window)
            prompt = [
                self._vocabulary.start,
                self._vocabulary.languages[index],
                self._vocabulary.transcribe,
            ]
            tokens = [row for part in mel.split(15) for row in self._decode(model, part, prompt)]
            # The tokenizer's words come first; special tokens and time marks are left out.
            texts = [
                self._tokenizer.decode([token for token in row if token < self._vocabulary.end])
                for row in tokens
            ]
            rate = word_error_rate([utterance.text for utterance in utterances], texts)
            rates[language] = round(rate, 1)
        return rates

    def _spectrograms(self, utterances: Sequence[Utterance], *, full_window: bool) -> torch.Tensor:
        """Return (n, 80, t), each sentence with 0.2 s of silence on both sides."""
        mels = [self._log_mel(np.pad(utterance.sound, (3200, 3200))) for utterance in utterances]
        longest = max(mel.shape[1] for mel in mels)
        frames = FULL_FRAMES if full_window else longest // 2 * 2 + 2
        padded = torch.zeros(len(mels), N_MELS, frames)
        for row, mel in enumerate(mels):
            padded[row, :, : mel.shape[1]] = mel
        return padded

    def _decode(
        self, model: Whisper, mel: torch.Tensor, prompt: list[int], longest: int = 40
    ) -> list[list[int]]:
        """Decode greedily; return the tokens after the prompt."""
        end = self._vocabulary.end
        with torch.no_grad():
            memory = model.encoder(mel)
            tokens = torch.tensor([prompt] * len(mel))
            done = torch.zeros(len(mel), dtype=torch.bool)
            for _ in range(longest):
                x, _ = model.decoder(tokens, memory)
                following = model.decoder.logits(x[:, -1]).argmax(-1)
                following[done] = end
                done |= following == end
                tokens = torch.cat([tokens, following[:, None]], 1)
                if done.all():
                    break
        continuations: list[list[int]] = tokens[:, len(prompt) :].tolist()
        return continuations
