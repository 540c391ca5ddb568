"""One file on its way: what was read of it is booked on whoever wants it."""

from whisperlive_hybrid.access.meter import Meter
from whisperlive_hybrid.access.usage import Usage


class FileBooking:
    """Books a recording as far as it is read, and nothing of it twice."""

    def __init__(self, meter: Meter, account: str, done: float = 0.0) -> None:
        """`done` is the recording time up to which it was booked before."""
        self._meter = meter
        self._account = account
        self._done = done

    def read_to(self, moment: float) -> None:
        """All is read up to this recording time."""
        if moment > self._done:
            self._meter.add(self._account, Usage(file_s=moment - self._done))
            self._done = moment
