"""Lengths of time in OpenAI's headers."""

import pytest

from whisperlive_hybrid.auth.rate_limits import format_duration


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0s"),
        (0.024, "24ms"),
        (0.0241, "25ms"),
        (0.9999, "1s"),
        (1.0, "1s"),
        (5.2, "6s"),
        (59.1, "1m0s"),
        (360.0, "6m0s"),
        (3600.0, "1h0m0s"),
        (86_399.2, "24h0m0s"),
    ],
)
def test_it_is_written_as_go_does(seconds: float, written: str) -> None:
    """24ms and 6m0s are OpenAI's own examples; it is rounded up, so nobody comes too early."""
    assert format_duration(seconds) == written
