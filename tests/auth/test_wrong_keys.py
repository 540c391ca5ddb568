"""Wrong keys, with literal clocks."""

from itertools import repeat

from whisperlive_hybrid.auth.keys import REFUSAL_DELAY_S, WrongKeyLimiter


def test_a_few_are_answered_at_once_and_further_ones_after_a_pause() -> None:
    """Whoever has mistyped a key does not wait; whoever guesses does, every time."""
    wrong = WrongKeyLimiter(per_minute=3, clock=repeat(1000.0).__next__)
    assert [wrong.record("192.0.2.1") for _ in range(6)] == [
        0,
        0,
        0,
        REFUSAL_DELAY_S,
        REFUSAL_DELAY_S,
        REFUSAL_DELAY_S,
    ]


def test_an_address_that_rests_is_answered_at_once_again() -> None:
    """Nothing is held against anybody for longer than a minute."""
    clock = iter([1000.0, 1000.0, 1060.0])
    wrong = WrongKeyLimiter(per_minute=1, clock=clock.__next__)
    assert [wrong.record("192.0.2.1") for _ in range(3)] == [0, REFUSAL_DELAY_S, 0]


def test_addresses_do_not_answer_for_each_other() -> None:
    """Of an IPv6 network all do: one customer has them all."""
    wrong = WrongKeyLimiter(per_minute=1, clock=repeat(1000.0).__next__)
    shown = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:1::"]
    assert [bool(wrong.record(address)) for address in shown] == [
        *(False, False, True),
        *(False, True, False),
    ]
