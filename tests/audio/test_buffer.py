import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.audio.buffer import SampleBuffer
from whisperlive_hybrid.types import Samples


def counting(start: int, end: int) -> Samples:
    """Return samples that are their own index."""
    return np.arange(start, end, dtype=np.float32)


def test_addresses_samples_by_their_place_in_the_recording() -> None:
    """The index of a sample never changes when others are discarded."""
    buffer = SampleBuffer()
    buffer.append(counting(0, 10))
    buffer.discard_before(4)
    buffer.append(counting(10, 15))
    assert (buffer.start, buffer.end) == (4, 15)
    assert buffer.slice(9, 12).tolist() == [9, 10, 11]


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(0, 40)),
            st.tuples(st.just("discard"), st.integers(-5, 300)),
        ),
        max_size=40,
    )
)
def test_agrees_with_a_plain_list(steps: list[tuple[str, int]]) -> None:
    """The buffer behaves like a list of all samples and the index of the oldest one."""
    buffer, heard, forgotten = SampleBuffer(), 0, 0
    for step, n in steps:
        if step == "append":
            buffer.append(counting(heard, heard + n))
            heard += n
        else:
            buffer.discard_before(n)
            forgotten = min(max(forgotten, n), heard)
        assert (buffer.start, buffer.end) == (forgotten, heard)
        assert buffer.slice(forgotten, heard).tolist() == list(range(forgotten, heard))


@pytest.mark.parametrize(("start", "end"), [(3, 6), (5, 11), (8, 7), (-1, 6)])
def test_refuses_what_it_does_not_hold(start: int, end: int) -> None:
    """A slice outside of the buffer is an error."""
    buffer = SampleBuffer()
    buffer.append(counting(0, 10))
    buffer.discard_before(4)
    with pytest.raises(IndexError, match=r"is not within \[4, 10\)"):
        buffer.slice(start, end)


def test_a_slice_is_a_copy() -> None:
    """A slice does not change when samples are appended."""
    buffer = SampleBuffer()
    buffer.append(counting(0, 4))
    early = buffer.slice(0, 4)
    early[:] = -1
    assert buffer.slice(0, 4).tolist() == [0, 1, 2, 3]


def test_memory_follows_what_is_held() -> None:
    """A stream of which 1,000 samples are kept needs memory for at most 4,000."""
    buffer = SampleBuffer()
    capacities = set()
    for start in range(0, 100_000, 500):
        buffer.append(counting(start, start + 500))
        buffer.discard_before(start - 500)
        capacities.add(len(buffer._samples))
    assert max(capacities) <= 4_000
