"""Write transcripts: to standard output, or to a directory with a manifest of how each was made.

Several commands may write into one directory. Each change holds its lock, starts from the manifest
on the disk, and replaces files by renaming, so a process may be killed at any moment.
"""

import errno
import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from whisperlive_hybrid.cli.batch.formats import OutputFormat
from whisperlive_hybrid.cli.batch.inputs import BatchItem, printable
from whisperlive_hybrid.cli.batch.manifest import (
    Manifest,
    PendingJob,
    Provenance,
    SourceState,
    dump_manifest,
    load_manifest,
)
from whisperlive_hybrid.cli.batch.report import OnOutcome, Outcome
from whisperlive_hybrid.errors import BadAudio, BadRequest, OutOfSpace, WhisperLiveError

MANIFEST: Final = ".whisperlive-batch.json"
_LOCK: Final = ".whisperlive-batch.lock"
_PART: Final = ".whisperlive-batch.part"
"""Hidden, with one fixed name per directory: the next command reuses the file of a killed one."""

_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

_FileVersion = tuple[int, int, int]
"""Inode, size and modification time of a file: each write makes a new inode."""


class OutputDirectory:
    """A directory with the outputs of one set of options; other sets may share it."""

    def __init__(self, path: Path, formats: tuple[OutputFormat, ...], options: str) -> None:
        """`options` is the digest of everything that a text depends on."""
        self.path = path
        self._formats = formats
        self._options = options
        self._seen: tuple[_FileVersion, Manifest] | None = None

    def prepare(self) -> None:
        """Create the directory and check that it is writable, before any recording is read.

        Raises `BadRequest` and `OutOfSpace`.
        """
        with _translate_write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self._change(lambda manifest: manifest)  # fails in a directory that cannot be written

    def find_pending(self, items: Sequence[BatchItem]) -> list[BatchItem]:
        """Return those of `items` with an output that is missing or was made with other options."""
        known = self._manifest().outputs
        return [item for item in items if not self._is_done(item, known)]

    def _is_done(self, item: BatchItem, known: Mapping[str, Provenance]) -> bool:
        # The state of the recording decides, not which file is newer: clocks differ.
        try:
            provenance = self._provenance(item.source.read_state())
        except BadAudio:  # the recording is gone; reading it will report the error
            return False
        names = self._names(item).values()
        return provenance is not None and all(
            known.get(name) == provenance and (self.path / name).is_file() for name in names
        )

    def put(
        self, item: BatchItem, state: SourceState | None, texts: Mapping[OutputFormat, str]
    ) -> None:
        """Write the outputs of a recording, each atomically, and record how they were made.

        Raises `OutOfSpace`, and `BadRequest` if only these outputs cannot be written.
        """
        names = self._names(item)
        with self._lock():
            for output_format, name in names.items():
                _write(self.path / name, texts[output_format])
            if provenance := self._provenance(state):
                outputs = dict.fromkeys(names.values(), provenance)
                self._store(self._manifest().with_outputs(outputs))

    def find_job(self, item: BatchItem, state: SourceState | None) -> str | None:
        """Return the id of the pending job for exactly these outputs."""
        job = self._manifest().jobs.get(item.name)
        return job.id if job and job.provenance == self._provenance(state) else None

    def save_job(self, item: BatchItem, state: SourceState | None, job_id: str) -> bool:
        """Record a job for the next command; False for a recording that has no state."""
        if provenance := self._provenance(state):
            self._change(lambda known: known.with_job(item.name, PendingJob(job_id, provenance)))
        return provenance is not None

    def remove_job(self, item: BatchItem) -> None:
        """Remove the job of a recording."""
        self._change(lambda known: known.without_job(item.name))

    def _names(self, item: BatchItem) -> dict[OutputFormat, str]:
        return {form: f"{item.name}.{form.value}" for form in self._formats}

    def _provenance(self, state: SourceState | None) -> Provenance | None:
        return None if state is None else Provenance(state, self._options)

    def _change(self, change: Callable[[Manifest], Manifest]) -> None:
        with self._lock():
            self._store(change(self._manifest()))

    def _store(self, manifest: Manifest) -> None:
        file = self.path / MANIFEST
        _write(file, dump_manifest(manifest))
        with _translate_write_errors(file):
            self._seen = _file_version(file), manifest  # our own write is not parsed again

    def _manifest(self) -> Manifest:
        """Return the manifest; an empty one if it is missing or invalid: work is then repeated."""
        file = self.path / MANIFEST
        try:
            version = _file_version(file)
            # Parsed only if another command wrote it: with 10,000 recordings parsing takes 0.2 s.
            if self._seen is None or self._seen[0] != version:
                self._seen = version, load_manifest(file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return Manifest()
        except OSError as error:
            raise _as_write_error(file, error) from error
        return self._seen[1]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the directory's lock; the system releases that of a killed process."""
        lock = self.path / _LOCK
        with _translate_write_errors(lock):
            descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            with _translate_write_errors(lock):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _file_version(file: Path) -> _FileVersion:
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _write(file: Path, text: str) -> None:
    """Replace a file atomically."""
    part = file.parent / _PART
    with _translate_write_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())  # before the rename: a crash must not leave an empty file
        part.replace(file)


@contextmanager
def _translate_write_errors(file: Path) -> Iterator[None]:
    """Translate errors of the file system."""
    try:
        yield
    except OSError as error:
        raise _as_write_error(file, error) from error


def _as_write_error(file: Path, error: OSError) -> OutOfSpace | BadRequest:
    message = f"{printable(str(file))} cannot be written: {error.strerror}."
    return OutOfSpace(message) if error.errno in _DISK_FULL else BadRequest(message)


class OutputTarget(Protocol):
    """Receives the texts of recordings."""

    def put(
        self, item: BatchItem, state: SourceState | None, texts: Mapping[OutputFormat, str]
    ) -> None:
        """Write the texts of a recording; raises `BadRequest` if only these cannot be written."""


class Printer:
    """Standard output: one recording bare, several each under a header with its name."""

    def __init__(self, *, has_headers: bool) -> None:
        self._has_headers = has_headers
        self._is_first = True

    def put(
        self, item: BatchItem, state: SourceState | None, texts: Mapping[OutputFormat, str]
    ) -> None:
        """Print the texts; headers look like those of `head` and `tail`."""
        del state
        if self._has_headers:
            blank = "" if self._is_first else "\n"
            sys.stdout.write(f"{blank}==> {item.source.label} <==\n")
        self._is_first = False
        for text in texts.values():
            sys.stdout.write(text)
        sys.stdout.flush()


@dataclass(slots=True)
class Tally:
    """Counts of the recordings of a batch."""

    before: int = 0
    """Recordings that an earlier command finished."""
    done: int = 0
    failed: int = 0
    audio_s: float = 0.0

    def summary(self, total: int, elapsed_s: float) -> str:
        """Return one line; `total` counts all recordings of the batch."""
        parts = [f"{self.done} done"]
        if self.before:
            parts.append(f"{self.before} skipped (done before)")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if missing := total - self.before - self.done - self.failed:
            parts.append(f"{missing} not done")
        speed = f" ({self.audio_s / elapsed_s:.1f} times real time)" if self.audio_s else ""
        return f"{', '.join(parts)}; {self.audio_s:.1f} s of audio in {elapsed_s:.1f} s{speed}."


class OutcomeWriter:
    """Writes outcomes to an output target and counts them."""

    def __init__(
        self,
        target: OutputTarget,
        tally: Tally,
        on_done: Callable[[BatchItem], None],
        on_failure: Callable[[BatchItem, WhisperLiveError], None],
    ) -> None:
        self._target = target
        self._tally = tally
        self._on_done = on_done
        self._on_failure = on_failure

    def write(self, outcome: Outcome) -> bool:
        """Write an outcome and return True if its texts were written.

        Raises `OutOfSpace`, which ends the batch.
        """
        result = outcome.result
        if not isinstance(result, WhisperLiveError):
            try:
                self._target.put(outcome.item, outcome.state, result.by_format)
            except BadRequest as error:  # of these outputs alone; a full disk ends the batch
                result = error
        if isinstance(result, WhisperLiveError):
            self._tally.failed += 1
            self._on_failure(outcome.item, result)
            return False
        self._tally.done += 1
        self._tally.audio_s += result.duration
        self._on_done(outcome.item)
        return True


class InOrder:
    """Delivers outcomes in the order of the items."""

    def __init__(self, items: Sequence[BatchItem], deliver: OnOutcome) -> None:
        self._awaited = list(reversed(items))
        self._held: dict[BatchItem, Outcome] = {}
        self._deliver = deliver

    def add(self, outcome: Outcome) -> bool:
        """Deliver an outcome once all before it are delivered; True, since it will be written."""
        self._held[outcome.item] = outcome
        while self._awaited and self._awaited[-1] in self._held:
            self._deliver(self._held.pop(self._awaited.pop()))
        return True
