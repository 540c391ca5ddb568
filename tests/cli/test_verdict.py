import pytest

from whisperlive_hybrid.cli.calibrate import (
    FEWEST_WINDOWS,
    Finding,
    Trial,
    findings,
    shortest_safe,
)

SAID = " ".join(f"w{n}" for n in range(200))


def trial(
    shortest_s: float, *texts: str, windows: int = 100, in_shortest: int = 100, doubted: int = 0
) -> Trial:
    """A trial that cost nothing."""
    return Trial(shortest_s, texts, windows, in_shortest, doubted, 0.0)


def with_errors(number: int) -> str:
    """What was said, with so many words of 200 read wrong."""
    return SAID.replace("w", "x", number)


def found(shorter: Trial, full: Trial, *references: str | None) -> Finding:
    """What is found about a shorter context; without references there are none."""
    return findings(full, [shorter], references or [None] * len(full.texts))[0]


def test_as_good_as_the_full_context_is_safe() -> None:
    """Half a point of the words may differ; case and punctuation do not count."""
    full = trial(30.0, SAID)
    assert found(trial(5.0, SAID.upper() + "!"), full).is_safe
    assert found(trial(5.0, with_errors(1)), full).is_safe
    worse = found(trial(5.0, with_errors(2)), full)
    assert not worse.is_safe
    assert (worse.difference, worse.error_rate) == (0.01, None)


def test_where_it_is_known_what_was_said_errors_count_and_not_differences() -> None:
    """A context that reads other words wrong, or fewer, is as good."""
    full = trial(30.0, with_errors(10))
    better = found(trial(5.0, SAID), full, SAID)
    assert better.is_safe
    assert (better.difference, better.error_rate) == (0.05, 0.0)
    assert found(trial(5.0, with_errors(11)), full, SAID).is_safe
    assert not found(trial(5.0, with_errors(12)), full, SAID).is_safe


def test_recordings_with_and_without_a_reference_are_judged_together() -> None:
    """The text of the full context stands in where nobody has written down what was said."""
    full = trial(30.0, with_errors(10), SAID)
    safe = found(trial(5.0, with_errors(12), SAID), full, SAID, None)
    assert safe.is_safe
    assert safe.error_rate == 0.06
    assert not found(trial(5.0, with_errors(12), with_errors(1)), full, SAID, None).is_safe


def test_a_context_that_must_often_be_read_again_is_too_short() -> None:
    """The text may be right then, but only thanks to the full context."""
    full = trial(30.0, SAID, doubted=3)
    assert found(trial(5.0, SAID, doubted=5), full).is_safe
    assert not found(trial(5.0, SAID, doubted=6), full).is_safe


def test_silence_is_safe() -> None:
    """Where nothing is said nothing is lost, and words out of nothing are."""
    full = trial(30.0, "", windows=0)
    assert found(trial(5.0, "", windows=0), full).is_safe
    assert not found(trial(5.0, "thank you", windows=0), full).is_safe


@pytest.mark.parametrize(
    ("errors", "shortest_s"),
    [
        ({5.0: 0, 7.5: 0, 10.0: 0}, 5.0),
        ({5.0: 5, 7.5: 0, 10.0: 0}, 7.5),
        ({5.0: 0, 7.5: 5, 10.0: 0}, 10.0),  # luck
        ({5.0: 0, 7.5: 0, 10.0: 5}, 30.0),
        ({}, 30.0),
    ],
)
def test_the_shortest_is_safe_with_all_that_are_longer(
    errors: dict[float, int], shortest_s: float
) -> None:
    """A short context that does well where longer ones fail was lucky; the full one always does."""
    shorter = [trial(context_s, with_errors(number)) for context_s, number in errors.items()]
    for given in (shorter, shorter[::-1]):
        everything = findings(trial(30.0, SAID), given, [None])
        assert [each.trial.shortest_s for each in everything] == [*errors, 30.0]
        assert shortest_safe(everything) == shortest_s


def test_a_context_in_which_nothing_was_read_is_not_the_shortest() -> None:
    """Recordings without short windows say nothing of it; between others it does no harm."""
    tried = {5.0: 0, 7.5: FEWEST_WINDOWS - 1, 10.0: FEWEST_WINDOWS, 15.0: 0}
    shorter = [trial(context_s, SAID, in_shortest=number) for context_s, number in tried.items()]
    assert shortest_safe(findings(trial(30.0, SAID), shorter, [None])) == 10.0
