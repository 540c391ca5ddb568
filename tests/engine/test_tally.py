from whisperlive_hybrid.engine.engine import FEWEST_WINDOWS, ContextTally


def told(tally: ContextTally, model: str, n_windows: int, n_doubted: int) -> list[int]:
    """Count so many windows, the doubted ones first; after which of them something was told."""
    return [n for n in range(1, n_windows + 1) if tally.count(model, was_doubted=n <= n_doubted)]


def test_tells_once_that_a_context_is_too_short() -> None:
    """From 100 windows on, more than 2 % read again are too many; to say it once is enough."""
    tally = ContextTally()
    assert told(tally, "small", 3 * FEWEST_WINDOWS, 3) == [100]
    assert (tally.n_windows("small"), tally.n_doubted("small")) == (300, 3)


def test_a_few_are_no_news() -> None:
    """Two in a hundred may happen, and before a hundred nothing is said at all."""
    assert told(ContextTally(), "small", 200, 2) == []
    assert told(ContextTally(), "small", FEWEST_WINDOWS - 1, 50) == []


def test_models_are_counted_apart() -> None:
    """One model's trouble is not another's."""
    tally = ContextTally()
    assert told(tally, "large", 100, 0) == []
    assert told(tally, "small", 100, 3) == [100]
    assert told(tally, "large", 100, 0) == []
