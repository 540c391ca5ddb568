"""The curriculum of the demo model."""

import pytest
from demo_model import curriculum
from demo_model.curriculum import Length
from hypothesis import given
from hypothesis import strategies as st

PROGRESS = st.floats(0.0, 1.0)


@given(PROGRESS)
def test_every_moment_has_a_whole_mix(progress: float) -> None:
    """The shares of the clip kinds add up to one from the beginning to the end."""
    assert sum(curriculum.mix_at(progress)) == pytest.approx(1.0)


@given(PROGRESS, PROGRESS)
def test_full_windows_only_grow(one: float, other: float) -> None:
    """The longer training lasts, the more clips are full windows and the fewer single sentences."""
    early, late = sorted((one, other))
    assert curriculum.mix_at(early)[2] <= curriculum.mix_at(late)[2]
    assert curriculum.mix_at(early)[0] >= curriculum.mix_at(late)[0]


@given(PROGRESS, PROGRESS)
def test_the_learning_rate_falls_once_warm(one: float, other: float) -> None:
    """After the warm-up the learning rate never rises, and ends at a hundredth of its peak."""
    early, late = sorted((one, other))
    rate = [curriculum.learning_rate(2e-3, at, 1000, 150) for at in (early, late, 1.0)]
    assert 2e-3 >= rate[0] >= rate[1] >= rate[2] == pytest.approx(2e-5)


def test_the_warm_up_is_linear() -> None:
    """The first steps are taken at equally growing rates."""
    rates = [curriculum.learning_rate(2e-3, 0.0, step, 150) for step in (0, 74, 149)]
    assert rates == pytest.approx([2e-3 / 150, 1e-3, 2e-3])


def test_a_run_of_steps_ignores_the_clock() -> None:
    """With a number of steps, the progress depends on the step alone."""
    length = Length(steps=200, minutes=1.0)
    assert [length.progress(50, elapsed_s) for elapsed_s in (0.0, 1e9)] == [0.25, 0.25]


def test_a_run_without_steps_follows_the_clock() -> None:
    """Without a number of steps, it depends on the time alone, and ends at one."""
    length = Length(steps=None, minutes=2.0)
    assert [length.progress(step, 30.0) for step in (0, 10**6)] == [0.25, 0.25]
    assert length.progress(0, 1e9) == 1.0
