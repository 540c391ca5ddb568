import math

import numpy as np
import pytest
from trt_double.site import torch
from trt_double.tensors import Tensor

from whisperlive_hybrid.backends.tensorrt.logits import RowProcessor, RowRequest
from whisperlive_hybrid.backends.whisper.search import Rules

PREVIOUS, START, LANGUAGE, TASK, END, BRACKET, TIME = 1, 2, 3, 4, 10, 11, 12
SIZE = TIME + 100
RULES = Rules(end=END, time_begin=TIME, never=(BRACKET, LANGUAGE, TASK), not_first=(0, END))
STREAM = 77
NOTHING = np.zeros((2, 1), np.float32)


def lent(*likely: tuple[int, float]) -> Tensor:
    """Logits (1, 1, vocabulary) in half precision in which these tokens stand out."""
    values = np.full((1, 1, SIZE), -20.0, np.float16)
    for token, value in likely:
        values[0, 0, token] = value
    return Tensor(values, "cuda", STREAM)


def left(logits: Tensor) -> set[int]:
    """The tokens that may still be chosen."""
    return set(np.flatnonzero(logits._array[0, 0] > -np.inf).tolist())


def started(
    prompt: tuple[int, ...] = (START,), forced: tuple[int, ...] = (LANGUAGE, TASK)
) -> RowProcessor:
    """A row at the beginning of a call."""
    row = RowProcessor(torch, RULES)
    row.begin(RowRequest(NOTHING, prompt, forced))
    return row


def test_the_answer_begins_as_it_must() -> None:
    """Language and task are forced one after another, then a time mark of the first second."""
    row = started(prompt=(PREVIOUS, 5, START))
    for written, only in (([], LANGUAGE), ([LANGUAGE], TASK)):
        logits = lent((5, 9.0))
        row(1, logits, [[PREVIOUS, 5, START, *written]], STREAM)
        assert left(logits) == {only}
    logits = lent((5, 9.0))
    row(1, logits, [[PREVIOUS, 5, START, LANGUAGE, TASK]], STREAM)
    assert left(logits) == set(range(TIME, TIME + 51))


def test_time_marks_that_are_likelier_together_silence_the_text() -> None:
    """Whisper's rule, as in `search.Rules`; half precision does not hide it."""
    row = started(forced=())
    row(1, lent(), [[START]], STREAM)
    logits = lent((5, 1.0), *[(TIME + n, -1.0) for n in range(1, 60)])
    row(1, logits, [[START, TIME, 5]], STREAM)
    assert left(logits) == set(range(TIME + 1, SIZE))
    assert logits._array.dtype == np.float16


def test_what_is_never_written_is_never_left() -> None:
    """Brackets and control tokens, wherever."""
    row = started(forced=())
    row(1, lent(), [[START]], STREAM)
    logits = lent((BRACKET, 9.0), (5, 5.0))
    row(1, logits, [[START, TIME]], STREAM)
    assert left(logits).isdisjoint({BRACKET, LANGUAGE, TASK})
    assert 5 in left(logits)


def spoken(row: RowProcessor, *tokens: int, heat: float = 0.0) -> float:
    """Let `tokens` be chosen, the last without a further step; the sum of their probabilities."""
    total, before = 0.0, [START, LANGUAGE, TASK]
    row(1, lent(), [[START]], STREAM)
    row(1, lent(), [[START, LANGUAGE]], STREAM)
    for token in tokens:
        logits = lent((token, 3.0 + heat), (6, 2.0))
        row(1, logits, [list(before)], STREAM)
        kept = logits._array[0, 0].astype(np.float64)
        total += float(kept[token] - kept.max() - math.log(np.exp(kept - kept.max()).sum()))
        before.append(token)
    return total


def test_a_result_has_the_tokens_and_their_probability() -> None:
    """The forced tokens count for nothing, the end mark counts, though the runtime drops it."""
    row = started()
    expected = spoken(row, TIME, 5, 7, TIME + 9, END)
    padded = [START, LANGUAGE, TASK, TIME, 5, 7, TIME + 9, *[END] * 20]
    answer = row.result(padded)
    assert answer.path.tokens == (TIME, 5, 7, TIME + 9)
    assert answer.path.score == pytest.approx(expected, abs=0.01)
    assert answer.path.avg_logprob == pytest.approx(expected / 5, abs=0.01)


def test_an_answer_without_the_prompt_in_front_is_the_same() -> None:
    """The runtime can be configured to leave it out, and a later one may do so by default."""
    row = started()
    spoken(row, TIME, 5, END)
    whole = row.result([START, LANGUAGE, TASK, TIME, 5, END, END])
    assert row.result([LANGUAGE, TASK, TIME, 5, END, END]).path == whole.path


def test_an_answer_that_was_cut_off_has_no_end() -> None:
    """At its bound the last token is the last that was chosen."""
    row = started()
    expected = spoken(row, TIME, 5, 7)
    answer = row.result([START, LANGUAGE, TASK, TIME, 5, 7])
    assert answer.path.tokens == (TIME, 5, 7)
    assert answer.path.score == pytest.approx(expected, abs=0.01)


def test_the_first_probabilities_are_kept() -> None:
    """Those before a token is forced, for the language and the no-speech probability."""
    row = started()
    row(1, lent((LANGUAGE, 2.0), (6, 2.0)), [[START]], STREAM)
    opening = row.result([START, LANGUAGE]).opening
    assert opening.sum() == pytest.approx(1.0, abs=1e-5)
    assert opening[[LANGUAGE, 6]] == pytest.approx([0.5, 0.5], abs=0.01)


def test_a_row_forgets_its_last_call() -> None:
    """Rows are used again for other windows."""
    row = started()
    spoken(row, TIME, 5, 7, END)
    row.begin(RowRequest(NOTHING, (START,), (LANGUAGE, TASK)))
    expected = spoken(row, TIME, 6, END, heat=1.0)
    answer = row.result([START, LANGUAGE, TASK, TIME, 6, END])
    assert answer.path.tokens == (TIME, 6)
    assert answer.path.score == pytest.approx(expected, abs=0.01)
