"""The choice of tokens: Whisper's rules, beam search and sampling over any decoder.

The rules are those of openai/whisper's `decoding.py`, which CTranslate2 applies too. No runtime is
used here: a decoder is an object that extends rows by a token and returns logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
"""(rows, vocabulary)."""

MAX_INITIAL_TIME_MARK: Final = 50
"""The first time mark is at most 1.00 s, as in openai/whisper and CTranslate2."""

N_SAMPLES: Final = 5
"""Samples above temperature 0, of which the most probable is kept: openai/whisper's best_of."""

_BLOCK: Final = 256
"""Tokens whose maximum is taken at once; about the square root of a vocabulary."""

_NEVER: Final = np.float32(-np.inf)


class BatchDecoder(Protocol):
    """A decoder with a cache for every row of its batch."""

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> Logits:
        """Extend row `parents[i]` of the last step by `tokens[i]`; the result is the new row i."""


@dataclass(frozen=True, slots=True)
class TokenPath:
    """The tokens of a hypothesis, without the end mark, and the sum of their log probabilities."""

    tokens: tuple[int, ...] = ()
    score: float = 0.0

    def extend(self, token: int, logprob: float) -> "TokenPath":
        """Return the path with one more token."""
        return TokenPath((*self.tokens, token), self.score + logprob)

    @property
    def rank(self) -> float:
        """The mean log probability per token, by which finished paths are compared."""
        return self.score / max(1, len(self.tokens))

    @property
    def avg_logprob(self) -> float:
        """The mean as openai/whisper reports it: the end mark counts as a token."""
        return self.score / (len(self.tokens) + 1)


@dataclass(frozen=True, slots=True)
class Rules:
    """Whisper's rules: the tokens that may follow those of a path."""

    end: int
    """The end of text; every token below it is text."""
    time_begin: int
    """The mark of 0.00 s; every token from it on is a time mark."""
    never: tuple[int, ...]
    """Tokens that are suppressed everywhere."""
    not_first: tuple[int, ...]
    """Tokens that are suppressed at the beginning: a blank, the end."""

    def apply(self, logits: Logits, written: Sequence[tuple[int, ...]]) -> Logits:
        """Turn `logits`, in place, into log probabilities, -inf for tokens that are forbidden.

        If all time marks together are more probable than any text token, one of them must follow.
        """
        # As few passes over the vocabulary as possible: forty rows are 8 MB.
        logits[:, list(self.never)] = _NEVER
        for row, tokens in zip(logits, written, strict=True):
            for indices in self.find_forbidden(tokens):
                row[indices] = _NEVER
        text, marks = logits[:, : self.time_begin], logits[:, self.time_begin :]
        top_text, all_marks = text.max(axis=1), _logsumexp(marks)
        is_mark = all_marks > top_text
        total = np.where(is_mark, all_marks, np.logaddexp(_logsumexp(text), all_marks))
        text[is_mark] = _NEVER
        logits -= total[:, None]
        return logits

    def find_forbidden(self, written: Sequence[int]) -> list[slice | list[int]]:
        """Return indices of a row that may not follow `written`, besides `never`."""
        if not written:
            first_too_late = self.time_begin + MAX_INITIAL_TIME_MARK + 1
            return [list(self.not_first), slice(self.time_begin), slice(first_too_late, None)]
        forbidden: list[slice | list[int]] = []
        ends_with_mark = written[-1] >= self.time_begin
        is_pair = len(written) < 2 or written[-2] >= self.time_begin
        if ends_with_mark and is_pair:
            forbidden.append(slice(self.time_begin, None))  # text must follow
        elif ends_with_mark:
            forbidden.append(slice(self.end))  # a segment ends: the next begins, or the text ends
        marks = [token for token in written if token >= self.time_begin]
        if marks:
            may_repeat = ends_with_mark and not is_pair
            forbidden.append(slice(self.time_begin, marks[-1] + (0 if may_repeat else 1)))
        return forbidden


class Search(Protocol):
    """The search for one hypothesis."""

    @property
    def paths(self) -> list[TokenPath]:
        """The unfinished paths, one row of the decoder for each; none when the search is over."""

    def advance(self, logprobs: Logits) -> list[int]:
        """Extend the paths by a token; return the index of the old path of each new one."""

    def best(self) -> TokenPath:
        """Return the best path so far."""


class BeamSearch:
    """The `size` most probable paths, until as many have ended; greedy with a size of 1."""

    def __init__(self, size: int, end: int) -> None:
        self._size = size
        self._end = end
        self._ended: list[TokenPath] = []
        self.paths = [TokenPath()]

    def advance(self, logprobs: Logits) -> list[int]:
        """Extend by the most probable tokens of all paths."""
        # One token more than the beam is wide: one of them may be the end.
        candidates = [
            (parent, token, float(row[token]))
            for parent, row in enumerate(logprobs)
            for token in find_top_tokens(row, self._size + 1)
        ]
        # Equal scores in the order of paths and tokens, so that the result is always the same.
        candidates.sort(key=lambda c: (-(self.paths[c[0]].score + c[2]), c[0], c[1]))
        active: list[TokenPath] = []
        parents: list[int] = []
        ended: list[TokenPath] = []
        for parent, token, logprob in candidates:
            if token == self._end:
                old = self.paths[parent]
                ended.append(TokenPath(old.tokens, old.score + logprob))
            else:
                active.append(self.paths[parent].extend(token, logprob))
                parents.append(parent)
            if len(active) == self._size:
                break
        self._ended = [*self._ended, *ended][: self._size]
        is_over = len(self._ended) == self._size
        self.paths = [] if is_over else active
        return [] if is_over else parents

    def best(self) -> TokenPath:
        """Return the path with the highest mean per token, ended or not."""
        return max([*self._ended, *self.paths] or [TokenPath()], key=lambda path: path.rank)


class Sampling:
    """`N_SAMPLES` paths drawn at a temperature; the same audio always gives the same paths."""

    def __init__(self, temperature: float, end: int) -> None:
        self._temperature = temperature
        self._end = end
        # One generator per search: other items of a batch cannot change what is drawn.
        self._rng = np.random.default_rng(0)
        self._ended: list[TokenPath] = []
        self.paths = [TokenPath()]

    def advance(self, logprobs: Logits) -> list[int]:
        """Draw a token for each path; in the first step, one for each sample."""
        # At first there is one row, from which all samples are drawn.
        drawn = range(len(self.paths)) if self.paths[0].tokens else [0] * N_SAMPLES
        active: list[TokenPath] = []
        parents: list[int] = []
        for parent in drawn:
            token = self._draw(logprobs[parent])
            logprob = float(logprobs[parent, token])
            old = self.paths[parent]
            if token == self._end:
                self._ended.append(TokenPath(old.tokens, old.score + logprob))
            else:
                active.append(old.extend(token, logprob))
                parents.append(parent)
        self.paths = active
        return parents

    def best(self) -> TokenPath:
        """Return the path with the highest mean per token."""
        return max([*self._ended, *self.paths], key=lambda path: path.rank)

    def _draw(self, logprobs: npt.NDArray[np.float32]) -> int:
        scaled = logprobs.astype(np.float64) / self._temperature
        cumulative = np.cumsum(np.exp(scaled - scaled.max()))
        drawn = self._rng.random() * cumulative[-1]
        return int(np.searchsorted(cumulative, drawn, side="right"))


def run_searches(
    searches: Sequence[Search], decoder: BatchDecoder, logits: Logits, rules: Rules, longest: int
) -> None:
    """Run all searches to their end, or for `longest` tokens, with shared steps of the decoder.

    `logits` are (searches, vocabulary), those after the prompts. Rows of finished searches leave
    the batch.
    """
    active = list(searches)
    for n_written in range(1, longest + 1):
        written = [path.tokens for search in active for path in search.paths]
        logprobs = rules.apply(logits, written)
        parents: list[int] = []
        offset = 0
        for search in active:
            n_rows = len(search.paths)
            new = search.advance(logprobs[offset : offset + n_rows])
            parents += [offset + parent for parent in new]
            offset += n_rows
        active = [search for search in active if search.paths]
        if not active or n_written == longest:  # logits of another step would not be used
            return
        tokens = [path.tokens[-1] for search in active for path in search.paths]
        logits = decoder.step(parents, tokens)


def find_top_tokens(row: npt.NDArray[np.float32], n: int) -> list[int]:
    """Return the `n` tokens of the highest values, unordered; fewer if no more are allowed."""
    # The `n` highest lie in the `n` blocks with the highest maxima. Finding those first is ten
    # times as fast as a partition of the whole vocabulary.
    n_blocks = len(row) // _BLOCK
    if n_blocks <= n:
        found = np.argsort(row)[-n:]
    else:
        blocks = row[: n_blocks * _BLOCK].reshape(n_blocks, _BLOCK)
        best = np.argpartition(blocks.max(axis=1), -n)[-n:]
        inside = (best[:, None] * _BLOCK + np.arange(_BLOCK)).ravel()
        tokens = np.concatenate([inside, np.arange(n_blocks * _BLOCK, len(row))])
        found = tokens[np.argpartition(row[tokens], -n)[-n:]]
    return [int(token) for token in found if row[token] > _NEVER]


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return probabilities along the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[np.float32] = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


def _logsumexp(logits: Logits) -> npt.NDArray[np.float32]:
    """Return the logarithm of the summed exponentials of each row; -inf if all are -inf."""
    highest = logits.max(axis=1)
    finite = np.where(highest == _NEVER, np.float32(0), highest)
    with np.errstate(divide="ignore"):  # log(0) is -inf, as intended
        total: npt.NDArray[np.float32] = finite + np.log(
            np.exp(logits - finite[:, None]).sum(axis=1)
        )
    return total
