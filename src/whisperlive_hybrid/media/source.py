"""The file object that libav reads: without a name, and with time limits."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import av

from whisperlive_hybrid.errors import BadAudio
from whisperlive_hybrid.media.diagnosis import diagnose, lacks_index
from whisperlive_hybrid.media.limits import (
    decode_error,
    empty_error,
    no_audio_error,
    timeout_error,
    truncation_error,
)

# Errors that PyAV raises for invalid bytes, besides its own. Errors of the caller's file never pass
# through PyAV (see `MediaSource`), so none of these is one.
_FOREIGN = (av.FFmpegError, ValueError, ArithmeticError, LookupError, MemoryError, RuntimeError)


class MediaSource:
    """The file object that libav reads: without a name, and with time limits.

    libav calls it from C code, where an exception is printed or replaced by another. So the first
    failure is kept, libav gets the end of the file, and `at_work` raises the failure outside.
    """

    def __init__(
        self, file: BinaryIO, max_work_s: float | None, max_silent_s: float | None
    ) -> None:
        self._file = file
        self._max_work_s = float("inf") if max_work_s is None else max_work_s
        self._max_silent_s = float("inf") if max_silent_s is None else max_silent_s
        self._worked_s = 0.0
        self._sample_at_s = 0.0  # of work, at the last sample
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
        """Measure the time inside; raise the file's failure, or BadAudio for libav's errors."""
        self._started = time.monotonic()
        try:
            yield
        except Exception as error:
            if self._failure is not None:
                raise self._failure from error
            if isinstance(error, _FOREIGN):
                raise self.decode_error() from error
            raise
        finally:
            self._worked_s += time.monotonic() - self._started
        if self._failure is not None:
            raise self._failure

    def decode_error(self) -> BadAudio:
        """Return the error for a file without decodable audio; reads the file again."""
        return diagnose(self._file, self._size) if self._seekable else decode_error()

    def without_audio_error(self) -> BadAudio:
        """Return the error for a file in which libav found no audio stream."""
        # The streams are described in the index, which may be cut off before the audio stream.
        if self._seekable and lacks_index(self._file, self._size):
            return truncation_error()
        return BadAudio("The file has no audio stream.", param="file")

    def check_time(self) -> None:
        """Raise BadAudio if the work, or the work since the last sample, exceeds its limit."""
        worked_s = self._work_s()
        if worked_s > self._max_work_s:
            raise timeout_error(self._max_work_s)
        if worked_s - self._sample_at_s > self._max_silent_s:
            raise no_audio_error(self._max_silent_s)

    def note_sample(self) -> None:
        """Restart the time limit for the next sample."""
        self._sample_at_s = self._work_s()

    def _work_s(self) -> float:
        """Return the seconds of work so far."""
        return self._worked_s + time.monotonic() - self._started

    def seekable(self) -> bool:
        """Return whether libav may seek, which it must to read an index at the end of a file."""
        return self._seekable

    def tell(self) -> int:
        """Return the position in bytes, which PyAV requires of a file that can seek."""
        return self._file.tell()

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, or b"" after a failure."""
        if self._failure is None:
            try:
                self.check_time()
                chunk = self._file.read(size)[:size]  # PyAV copies a longer one unchecked
            except Exception as failure:  # noqa: BLE001 - raised again by at_work
                self._failure = failure
            else:
                self._empty = self._empty and not chunk
                self._failure = empty_error() if self._empty else None
                return chunk
        return b""

    def seek(self, offset: int, origin: int = io.SEEK_SET) -> int:
        """Set the position in the file and return it; return -1 on failure."""
        position = offset + (self._size if origin == io.SEEK_END else 0)
        if position >= 0 and self._failure is None:
            try:
                # Never past the end, so that a hostile offset is not an error of the file.
                self._file.seek(min(position, self._size))
            except Exception as failure:  # noqa: BLE001 - raised again by at_work
                self._failure = failure
            else:
                return position
        return -1
