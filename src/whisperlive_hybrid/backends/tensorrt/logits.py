"""One row of a call of TensorRT-LLM: what is done to its logits before each token is chosen.

The runtime hands the logits of each step to a function of ours, and chooses a token from what that
leaves. So Whisper's rules hold here too, and three things are learned on the way which the runtime
does not tell:

- What stands behind the start of transcript: a prompt ends there, and language and task are forced
  as the first tokens of the answer. The share of each language, and that of "nobody speaks", are in
  these first logits.
- How probable each token was, whatever the temperature: the runtime's own figure is that of the
  heated distribution.
- How probable the end was: the runtime leaves the end mark out of its answer (TensorRT-LLM issue
  2190), and its probability too.

All arithmetic is asked of the logits themselves, where they lie: on the GPU, in the stream that the
runtime names. Nobody waits for a result until the answer is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whisperlive_hybrid.backends.whisper.search import Path, Rules

Torch = Any
"""The module, or a tensor of it: torch is no dependency, but comes with TensorRT-LLM."""

_NEVER: Final = -float("inf")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a row is to read and write."""

    features: npt.NDArray[np.float32]
    """(frames, bands): log-mel features, of an even number of frames."""
    prompt: tuple[int, ...]
    """Up to the start of transcript."""
    forced: tuple[int, ...] = ()
    """How the answer begins: language and task."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a row wrote behind the forced tokens, and what it thought at first."""

    path: Path
    opening: npt.NDArray[np.float32]
    """(vocabulary,): probabilities behind the prompt, before any rule."""


class Row:
    """The logits processor of one row; TensorRT-LLM calls it, one call at a time."""

    def __init__(self, torch: Torch, rules: Rules) -> None:
        self._torch = torch
        self._rules = rules
        self._never = torch.tensor(list(rules.never), device="cuda")
        self.begin(Wish(np.zeros((0, 0), np.float32), ()))

    def begin(self, wish: Wish) -> None:
        """Forget the last call; the next tokens are written as `wish` says."""
        self._wish = wish
        self._n_steps = 0
        self._opening: Torch = None
        self._logprobs: Torch = None  # of the token that is being chosen
        self._score: Torch = 0.0  # of those behind the forced ones

    def __call__(
        self,
        _request: int,
        logits: Torch,
        beams: list[list[int]],
        stream: int,
        _client: int | None = None,
    ) -> None:
        """Change `logits` (1, 1, vocabulary) in place; `beams` has the tokens, prompt included.

        The signature is TensorRT-LLM's. What it raised would end the runtime: it raises nothing.
        """
        cuda = self._torch.cuda
        with cuda.stream(cuda.ExternalStream(stream)):
            self._step(logits.view(-1), beams[0][len(self._wish.prompt) :])

    def answer(self, output: Sequence[int]) -> Answer:
        """What became of it; `output` are the runtime's tokens, padded with end marks."""
        prompt, forced, end = self._wish.prompt, self._wish.forced, self._rules.end
        tokens = list(output)
        if tokens[: len(prompt)] == list(prompt):  # the runtime repeats the prompt
            tokens = tokens[len(prompt) :]
        written = tokens[: tokens.index(end)] if end in tokens else tokens
        has_ended = len(written) < self._n_steps
        text = tuple(written[len(forced) : self._n_steps])
        score = self._score
        if self._logprobs is not None:
            score = score + self._logprobs[end if has_ended else text[-1]]
        return Answer(Path(text, float(score)), self._opening.cpu().numpy())

    def _step(self, logits: Torch, written: list[int]) -> None:
        forced = self._wish.forced
        self._n_steps = len(written) + 1
        if not written:
            self._opening = logits.float().softmax(-1)
        if len(written) < len(forced):
            logits[:] = _NEVER
            logits[forced[len(written)]] = 0.0
            return
        if len(written) > len(forced):
            self._score = self._score + self._logprobs[written[-1]]
        self._logprobs = self._ruled(logits, written[len(forced) :])

    def _ruled(self, logits: Torch, text: list[int]) -> Torch:
        """Apply the rules in place, and answer with log probabilities, as `Rules.logprobs` does."""
        begin = self._rules.time_begin
        logits.index_fill_(0, self._never, _NEVER)
        for place in self._rules.forbidden(text):
            logits[place] = _NEVER
        exact = logits.float()  # half precision is too coarse for a sum over 1,501 time marks
        must_be_mark = exact[begin:].logsumexp(0) > exact[:begin].max()
        exact[:begin].masked_fill_(must_be_mark, _NEVER)
        logits.copy_(exact)
        return exact.log_softmax(0)
