"""What was read of one file, on its way to an account."""

from whisperlive_hybrid.auth.caller import Limits
from whisperlive_hybrid.auth.quotas import Quotas, UsageMeter

NOON = 1_764_072_000.0
HERE = "address:192.0.2.1"


def test_every_second_is_booked_once() -> None:
    """Windows come in order, and one that comes again (a job that was resumed) costs nothing."""
    quotas = Quotas(Limits(), lambda: NOON)
    booking = UsageMeter(quotas, HERE)
    for moment in (12.0, 30.0, 12.0, 30.0, 41.5, 41.5):
        booking.count_to(moment)
    assert quotas.usage.audio_s(HERE, NOON) == 41.5


def test_what_an_earlier_process_has_booked_is_not_booked_again() -> None:
    """A file that goes on after a restart begins where it was."""
    quotas = Quotas(Limits(), lambda: NOON)
    booking = UsageMeter(quotas, HERE, done=30.0)
    booking.count_to(12.0)
    booking.count_to(41.5)
    assert quotas.usage.audio_s(HERE, NOON) == 11.5
