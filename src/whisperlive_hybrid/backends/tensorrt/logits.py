"""The logits processor of one row of a TensorRT-LLM call.

The runtime passes the logits of each step to a processor and chooses a token from the result. The
processor applies Whisper's rules, and records three values that the runtime does not return:

- The probabilities after the start of transcript, where the prompt ends: those of the languages and
  of "no speech". Language and task are forced as the first tokens of the answer.
- The probability of each token at temperature 1; the runtime's own value includes the temperature.
- The probability of the end mark: the runtime leaves out the end mark and its probability
  (TensorRT-LLM issue 2190).

All arithmetic runs on the GPU, in the stream of the runtime; nothing waits for it before the result
is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whisperlive_hybrid.backends.whisper.search import Rules, TokenPath

Torch = Any
"""The module torch or one of its tensors: no dependency of ours, but of TensorRT-LLM."""

_NEVER: Final = -float("inf")


@dataclass(frozen=True, slots=True)
class RowRequest:
    """The input of one row."""

    features: npt.NDArray[np.float32]
    """Log-mel features: (frames, bands), with an even number of frames."""
    prompt: tuple[int, ...]
    """The tokens up to the start of transcript."""
    forced: tuple[int, ...] = ()
    """The tokens with which the answer begins: language and task."""


@dataclass(frozen=True, slots=True, eq=False)
class RowResult:
    """The text of one row after the forced tokens, and its first probabilities."""

    path: TokenPath
    opening: npt.NDArray[np.float32]
    """Probabilities after the prompt, before any rule: (vocabulary,)."""


class RowProcessor:
    """The logits processor of one row, for one call of TensorRT-LLM at a time."""

    def __init__(self, torch: Torch, rules: Rules) -> None:
        self._torch = torch
        self._rules = rules
        self._never = torch.tensor(list(rules.never), device="cuda")
        self.begin(RowRequest(np.zeros((0, 0), np.float32), ()))

    def begin(self, request: RowRequest) -> None:
        """Reset the processor for the next call."""
        self._request = request
        self._n_steps = 0
        self._opening: Torch = None
        self._logprobs: Torch = None  # for the token that is being chosen
        self._score: Torch = 0.0  # sum for the tokens after the forced ones

    def __call__(
        self,
        _request: int,
        logits: Torch,
        beams: list[list[int]],
        stream: int,
        _client: int | None = None,
    ) -> None:
        """Change `logits` (1, 1, vocabulary) in place; `beams` has the tokens, prompt included.

        The signature is TensorRT-LLM's. An exception would end the runtime, so none is raised.
        """
        written, forced = beams[0][len(self._request.prompt) :], self._request.forced
        self._n_steps = len(written) + 1
        cuda = self._torch.cuda
        with cuda.stream(cuda.ExternalStream(stream)):
            row = logits.view(-1)
            if not written:
                self._opening = row.float().softmax(-1)
            # Language and task are forced by excluding all other tokens.
            if len(written) < len(forced):
                row[:] = _NEVER
                row[forced[len(written)]] = 0.0
                return
            if len(written) > len(forced):
                self._score = self._score + self._logprobs[written[-1]]
            self._logprobs = self._apply_rules(row, written[len(forced) :])

    def result(self, output: Sequence[int]) -> RowResult:
        """Return the result of the call; `output` has its tokens, padded with end marks."""
        prompt, forced, end = self._request.prompt, self._request.forced, self._rules.end
        tokens = list(output)
        if tokens[: len(prompt)] == list(prompt):  # the runtime repeats it
            tokens = tokens[len(prompt) :]
        written = tokens[: tokens.index(end)] if end in tokens else tokens
        # A step more than tokens: the end mark was chosen, which the runtime leaves out.
        has_ended = len(written) < self._n_steps
        text = tuple(written[len(forced) : self._n_steps])
        score = self._score
        if self._logprobs is not None:
            score = score + self._logprobs[end if has_ended else text[-1]]
        return RowResult(TokenPath(text, float(score)), self._opening.cpu().numpy())

    def _apply_rules(self, logits: Torch, text: list[int]) -> Torch:
        """Apply the rules in place and return log probabilities, as `Rules.apply` does."""
        begin = self._rules.time_begin
        logits.index_fill_(0, self._never, _NEVER)
        for indices in self._rules.find_forbidden(text):
            logits[indices] = _NEVER
        exact = logits.float()  # half precision is too coarse for a sum over 1,501 time marks
        must_be_mark = exact[begin:].logsumexp(0) > exact[:begin].max()
        exact[:begin].masked_fill_(must_be_mark, _NEVER)
        logits.copy_(exact)
        return exact.log_softmax(0)
