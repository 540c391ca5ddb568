"""The caller's file as libav sees it: without a name, and against the clock."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import av

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.media.diagnosis import diagnose, lacks_index
from whisperlive_hybrid.media.limits import cut_off, empty, no_progress, too_slow, undecodable

# What PyAV raises, besides its own errors, when bytes make no sense. Failures of the caller's file
# never pass through PyAV (see Source), so none of these can be one.
_FOREIGN = (av.FFmpegError, ValueError, ArithmeticError, LookupError, MemoryError, RuntimeError)


class Source:
    """The caller's file as libav sees it: without a name, and against the clock.

    libav calls from inside C, where an exception is printed or overtaken by another. So the first
    failure is kept here, libav is told that the file ends, and `at_work` raises it outside.
    """

    def __init__(
        self, file: BinaryIO, max_work_s: float | None, max_silent_s: float | None
    ) -> None:
        self._file = file
        self._max_work_s = float("inf") if max_work_s is None else max_work_s
        self._max_silent_s = float("inf") if max_silent_s is None else max_silent_s
        self._worked_s = 0.0
        self._heard_at_s = 0.0  # of work
        self._started = 0.0
        self._failure: Exception | None = None
        self._empty = True  # until a byte is read
        self._seekable = file.seekable()
        self._size = 0
        if self._seekable:
            self._size = file.seek(0, io.SEEK_END)
            file.seek(0)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Run the clock; raise the file's own failure, or BadAudio for what libav raised."""
        self._started = time.monotonic()
        try:
            yield
        except Exception as error:
            if self._failure is not None:
                raise self._failure from error
            if isinstance(error, _FOREIGN):
                raise self.undecodable() from error
            raise
        finally:
            self._worked_s += time.monotonic() - self._started
        if self._failure is not None:
            raise self._failure

    def undecodable(self) -> BadAudio:
        """Return the refusal of a file from which no audio came; reads the file once more."""
        return diagnose(self._file, self._size) if self._seekable else undecodable()

    def without_audio(self) -> BadAudio:
        """Return the refusal of a file in which libav found no audio stream.

        The description of the streams stands in the index, which may end before the sound's.
        """
        if self._seekable and lacks_index(self._file, self._size):
            return cut_off()
        return BadAudio("The file has no audio stream.", param="file")

    def check_time(self) -> None:
        """Raise BadAudio when the work, or that since the last sample, took longer than it may."""
        worked_s = self._work_s()
        if worked_s > self._max_work_s:
            raise too_slow(self._max_work_s)
        if worked_s - self._heard_at_s > self._max_silent_s:
            raise no_progress(self._max_silent_s)

    def found_audio(self) -> None:
        """There was a sample: from here on another one has to come in time."""
        self._heard_at_s = self._work_s()

    def _work_s(self) -> float:
        """Time at work, so far."""
        return self._worked_s + time.monotonic() - self._started

    def seekable(self) -> bool:
        """Whether libav may jump, as it must where an index stands at the end of the file."""
        return self._seekable

    def tell(self) -> int:
        """Return the place in the file, in bytes (PyAV asks for it before it trusts `seek`)."""
        return self._file.tell()

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes: PyAV copies what it gets without looking at its length."""
        if self._failure is None:
            try:
                return self._read(size)
            except Exception as failure:  # noqa: BLE001 - raised again by at_work
                self._failure = failure
        return b""

    def _read(self, size: int) -> bytes:
        self.check_time()
        chunk = self._file.read(size)[:size]
        self._empty = self._empty and not chunk
        if self._empty:
            raise empty()
        return chunk

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file, or return -1 where that is none.

        Past the end there is nothing to read and the file is not asked to go there, so a hostile
        offset is never an error of the file.
        """
        place = offset + (self._size if whence == io.SEEK_END else 0)
        if place >= 0 and self._failure is None:
            try:
                self._file.seek(min(place, self._size))
            except Exception as failure:  # noqa: BLE001 - raised again by at_work
                self._failure = failure
            else:
                return place
        return -1
