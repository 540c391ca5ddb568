"""Which tokens to write next: Whisper's rules, beam search and sampling over any decoder.

The rules are those of openai/whisper's `decoding.py`, which CTranslate2 applies too. Nothing here
knows a runtime: a decoder is whatever continues rows by a token and answers with logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
"""(rows, vocabulary)."""

MAX_INITIAL_TIME_MARK: Final = 50
"""The first time mark is at most 1.00 s, as openai/whisper and CTranslate2 have it."""

N_SAMPLES: Final = 5
"""Samples above temperature 0, of which the likeliest wins: openai/whisper's best_of."""

_BLOCK: Final = 256
"""Tokens whose maximum is taken at once; about the root of a vocabulary."""

_NEVER: Final = np.float32(-np.inf)


class Rows(Protocol):
    """A decoder with a cache for every row that it has been given."""

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> Logits:
        """Continue row `parents[i]` of the last step by `tokens[i]`, as row i from now on."""


@dataclass(frozen=True, slots=True)
class Path:
    """Tokens written so far, without the end mark, and the sum of their log probabilities."""

    tokens: tuple[int, ...] = ()
    score: float = 0.0

    def then(self, token: int, logprob: float) -> "Path":
        """One token more."""
        return Path((*self.tokens, token), self.score + logprob)

    @property
    def rank(self) -> float:
        """Mean log probability per token, by which finished paths are compared."""
        return self.score / max(1, len(self.tokens))

    @property
    def avg_logprob(self) -> float:
        """The mean that openai/whisper reports: the end mark counts as a token."""
        return self.score / (len(self.tokens) + 1)


@dataclass(frozen=True, slots=True)
class Rules:
    """What may follow what has been written."""

    end: int
    """End of text: every token below it is text."""
    time_begin: int
    """The mark of 0.00 s; every token from it on is a time mark."""
    never: tuple[int, ...]
    """Tokens that are not written at all."""
    not_first: tuple[int, ...]
    """Tokens with which no answer begins: a blank, the end."""

    def logprobs(self, logits: Logits, written: Sequence[tuple[int, ...]]) -> Logits:
        """Turn `logits`, in place, into log probabilities; -inf for what may not come next.

        Where time marks together are likelier than any text, one of them it must be. Each pass
        over the vocabulary counts: forty rows are 8 MB.
        """
        logits[:, list(self.never)] = _NEVER
        for row, tokens in zip(logits, written, strict=True):
            for place in self.forbidden(tokens):
                row[place] = _NEVER
        text, marks = logits[:, : self.time_begin], logits[:, self.time_begin :]
        likeliest_text, all_marks = text.max(axis=1), _log_sum(marks)
        is_mark = all_marks > likeliest_text
        total = np.where(is_mark, all_marks, np.logaddexp(_log_sum(text), all_marks))
        text[is_mark] = _NEVER
        logits -= total[:, None]
        return logits

    def forbidden(self, written: Sequence[int]) -> list[slice | list[int]]:
        """Where in a row nothing may be chosen behind `written`, besides `never`: its indices."""
        if not written:
            behind_first = self.time_begin + MAX_INITIAL_TIME_MARK + 1
            return [list(self.not_first), slice(self.time_begin), slice(behind_first, None)]
        places: list[slice | list[int]] = []
        ends_with_mark = written[-1] >= self.time_begin
        is_pair = len(written) < 2 or written[-2] >= self.time_begin
        if ends_with_mark and is_pair:
            places.append(slice(self.time_begin, None))  # text must follow
        elif ends_with_mark:
            places.append(slice(self.end))  # a segment has ended: its twin must follow, or the end
        marks = [token for token in written if token >= self.time_begin]
        if marks:
            may_repeat = ends_with_mark and not is_pair
            places.append(slice(self.time_begin, marks[-1] + (0 if may_repeat else 1)))
        return places


class Search(Protocol):
    """How one answer is looked for."""

    @property
    def paths(self) -> list[Path]:
        """Those that go on, one row of the decoder each; none when the search is over."""

    def advance(self, logprobs: Logits) -> list[int]:
        """Let every path go on; answers with the index of the old path behind each new one."""

    def best(self) -> Path:
        """The answer, as far as it is written."""


class BeamSearch:
    """Keeps the `size` likeliest paths until as many have ended; greedy with a size of 1."""

    def __init__(self, size: int, end: int) -> None:
        self._size = size
        self._end = end
        self._ended: list[Path] = []
        self.paths = [Path()]

    def advance(self, logprobs: Logits) -> list[int]:
        """Extend by the likeliest tokens of all paths."""
        going_on: list[Path] = []
        parents: list[int] = []
        ended: list[Path] = []
        for parent, token, logprob in self._candidates(logprobs):
            if token == self._end:
                old = self.paths[parent]
                ended.append(Path(old.tokens, old.score + logprob))
            else:
                going_on.append(self.paths[parent].then(token, logprob))
                parents.append(parent)
            if len(going_on) == self._size:
                break
        self._ended = [*self._ended, *ended][: self._size]
        is_over = len(self._ended) == self._size
        self.paths = [] if is_over else going_on
        return [] if is_over else parents

    def best(self) -> Path:
        """The likeliest per token of what has ended; else of what has not."""
        return max([*self._ended, *self.paths] or [Path()], key=lambda path: path.rank)

    def _candidates(self, logprobs: Logits) -> list[tuple[int, int, float]]:
        """(path, token, log probability), the likeliest first; never anything forbidden."""
        found = [
            (parent, token, float(row[token]))
            for parent, row in enumerate(logprobs)
            for token in likeliest(row, self._size + 1)
        ]
        return sorted(
            found, key=lambda each: (-(self.paths[each[0]].score + each[2]), each[0], each[1])
        )


class Sampling:
    """Draws `N_SAMPLES` answers at a temperature; the same audio always draws the same."""

    def __init__(self, temperature: float, end: int) -> None:
        self._temperature = temperature
        self._end = end
        # One generator per answer: neighbours in a batch cannot change what is drawn.
        self._dice = np.random.default_rng(0)
        self._ended: list[Path] = []
        self.paths = [Path()]

    def advance(self, logprobs: Logits) -> list[int]:
        """Draw a token for each path; at the start, for each sample."""
        drawn = range(len(self.paths)) if self.paths[0].tokens else [0] * N_SAMPLES
        going_on: list[Path] = []
        parents: list[int] = []
        for parent in drawn:
            token = self._draw(logprobs[parent])
            logprob = float(logprobs[parent, token])
            old = self.paths[parent]
            if token == self._end:
                self._ended.append(Path(old.tokens, old.score + logprob))
            else:
                going_on.append(old.then(token, logprob))
                parents.append(parent)
        self.paths = going_on
        return parents

    def best(self) -> Path:
        """The likeliest per token."""
        return max([*self._ended, *self.paths], key=lambda path: path.rank)

    def _draw(self, logprobs: npt.NDArray[np.float32]) -> int:
        scaled = logprobs.astype(np.float64) / self._temperature
        cumulative = np.cumsum(np.exp(scaled - scaled.max()))
        drawn = self._dice.random() * cumulative[-1]
        return int(np.searchsorted(cumulative, drawn, side="right"))


def run(
    searches: Sequence[Search], decoder: Rows, logits: Logits, rules: Rules, longest: int
) -> None:
    """Search to the end, or for `longest` tokens; `logits` (searches, vocabulary) follow prompts.

    All searches share each step of the decoder, and leave it as they end.
    """
    going_on = list(searches)
    for n_written in range(1, longest + 1):
        written = [path.tokens for search in going_on for path in search.paths]
        logprobs = rules.logprobs(logits, written)
        parents: list[int] = []
        offset = 0
        for search in going_on:
            n_rows = len(search.paths)
            new = search.advance(logprobs[offset : offset + n_rows])
            parents += [offset + parent for parent in new]
            offset += n_rows
        going_on = [search for search in going_on if search.paths]
        if not going_on or n_written == longest:
            return
        tokens = [path.tokens[-1] for search in going_on for path in search.paths]
        logits = decoder.step(parents, tokens)


def likeliest(row: npt.NDArray[np.float32], n: int) -> list[int]:
    """The `n` tokens of the highest values, in no order; fewer if no more are allowed.

    The `n` highest lie in the `n` blocks with the highest maxima: ten times as fast as a partition
    of the whole vocabulary.
    """
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
    """Probabilities along the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[np.float32] = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


def _log_sum(logits: Logits) -> npt.NDArray[np.float32]:
    """The logarithm of the summed exponentials of each row; -inf for rows of nothing else."""
    highest = logits.max(axis=1)
    finite = np.where(highest == _NEVER, np.float32(0), highest)
    with np.errstate(divide="ignore"):  # the logarithm of nothing is what is wanted
        total: npt.NDArray[np.float32] = finite + np.log(
            np.exp(logits - finite[:, None]).sum(axis=1)
        )
    return total
