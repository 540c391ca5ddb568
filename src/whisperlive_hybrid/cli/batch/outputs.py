"""A directory of transcripts: whole files only, and the memory of how each was made.

Several commands may write into one directory. Each change holds its lock, starts from the manifest
as it lies there, and replaces files by renaming, so a process may be killed at any moment.
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
from whisperlive_hybrid.cli.batch.inputs import Item, printable
from whisperlive_hybrid.cli.batch.manifest import (
    Manifest,
    Origin,
    PendingJob,
    Stamp,
    dumped,
    loaded,
)
from whisperlive_hybrid.cli.batch.report import OnOutcome, Outcome
from whisperlive_hybrid.errors import BadAudio, BadRequest, OutOfSpace, WhisperLiveError

MANIFEST: Final = ".whisperlive-batch.json"
_LOCK: Final = ".whisperlive-batch.lock"
_PART: Final = ".whisperlive-batch.part"
"""Hidden, and of one fixed name in each directory: what a killed process leaves is used again."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

_State = tuple[int, int, int]
"""Inode, size and time of a file: every writer makes a new one."""


class OutputDirectory:
    """Where the outputs of one way of transcribing go; others may share the directory."""

    def __init__(self, path: Path, formats: tuple[OutputFormat, ...], options: str) -> None:
        """`options` is the digest of everything that a text depends on."""
        self.path = path
        self._formats = formats
        self._options = options
        self._seen: tuple[_State, Manifest] | None = None

    def prepare(self) -> None:
        """Make it, and see that it can be written: before the work, not after it.

        Raises `BadRequest` and `OutOfSpace`.
        """
        with _writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self._change(lambda manifest: manifest)

    def undone(self, items: Sequence[Item]) -> list[Item]:
        """Those of `items` of which some output is missing, or was made in another way.

        What counts is the state of the recording, not which file is newer: clocks differ.
        """
        known = self._manifest().outputs
        return [item for item in items if not self._is_done(item, known)]

    def _is_done(self, item: Item, known: Mapping[str, Origin]) -> bool:
        origin = self._origin(_stamp_if_any(item))
        names = self._names(item).values()
        return origin is not None and all(
            known.get(name) == origin and (self.path / name).is_file() for name in names
        )

    def put(self, item: Item, stamp: Stamp | None, texts: Mapping[OutputFormat, str]) -> None:
        """Write the outputs of a recording, each as a whole, and remember how they were made.

        Raises `OutOfSpace`, and `BadRequest` if only this one cannot be written.
        """
        names = self._names(item)
        with self._locked():
            for each, name in names.items():
                _write(self.path / name, texts[each])
            if origin := self._origin(stamp):
                self._store(self._manifest().with_outputs(dict.fromkeys(names.values(), origin)))

    def job_of(self, item: Item, stamp: Stamp | None) -> str | None:
        """The job that was asked for these very outputs, and not forgotten."""
        job = self._manifest().jobs.get(item.name)
        return job.id if job and job.origin == self._origin(stamp) else None

    def keep_job(self, item: Item, stamp: Stamp | None, job_id: str) -> bool:
        """Remember a job, so that the next command finds it; False for what nobody knows again."""
        if origin := self._origin(stamp):
            self._change(lambda known: known.with_job(item.name, PendingJob(job_id, origin)))
        return origin is not None

    def forget_job(self, item: Item) -> None:
        """Forget the job of a recording."""
        self._change(lambda known: known.without_job(item.name))

    def _names(self, item: Item) -> dict[OutputFormat, str]:
        return {each: f"{item.name}.{each.value}" for each in self._formats}

    def _origin(self, stamp: Stamp | None) -> Origin | None:
        return None if stamp is None else Origin(stamp, self._options)

    def _change(self, change: Callable[[Manifest], Manifest]) -> None:
        with self._locked():
            self._store(change(self._manifest()))

    def _store(self, manifest: Manifest) -> None:
        file = self.path / MANIFEST
        _write(file, dumped(manifest))
        with _writing(file):
            self._seen = _state(file), manifest

    def _manifest(self) -> Manifest:
        """What is known; nothing, if somebody has spoilt it: then work is done again.

        Read again only if another command has written it: of 10,000 recordings it takes 0.2 s.
        """
        file = self.path / MANIFEST
        try:
            state = _state(file)
            if self._seen is None or self._seen[0] != state:
                self._seen = state, loaded(file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return Manifest()
        except OSError as error:
            raise _not_written(file, error) from error
        return self._seen[1]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other commands from changing anything; given back even by a killed process."""
        lock = self.path / _LOCK
        with _writing(lock):
            descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            with _writing(lock):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _state(file: Path) -> _State:
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _stamp_if_any(item: Item) -> Stamp | None:
    """None also for a recording that has gone: whoever reads it will say so."""
    try:
        return item.source.stamp()
    except BadAudio:
        return None


def _write(file: Path, text: str) -> None:
    """Write a file so that at any moment the old one or the new one is there, and whole."""
    part = file.parent / _PART
    with _writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """Errors of the file system as ours."""
    try:
        yield
    except OSError as error:
        raise _not_written(file, error) from error


def _not_written(file: Path, error: OSError) -> OutOfSpace | BadRequest:
    message = f"{printable(str(file))} cannot be written: {error.strerror}."
    return OutOfSpace(message) if error.errno in _NO_ROOM else BadRequest(message)


class Place(Protocol):
    """Takes the texts of recordings."""

    def put(self, item: Item, stamp: Stamp | None, texts: Mapping[OutputFormat, str]) -> None:
        """Take them; raises `BadRequest` if only these cannot be taken."""


class Printer:
    """Standard output: one recording bare, several each under a line with its name."""

    def __init__(self, *, has_headers: bool) -> None:
        self._has_headers = has_headers
        self._is_first = True

    def put(self, item: Item, stamp: Stamp | None, texts: Mapping[OutputFormat, str]) -> None:
        """Print the texts; headers look like those of `head` and `tail`."""
        del stamp
        if self._has_headers:
            blank = "" if self._is_first else "\n"
            sys.stdout.write(f"{blank}==> {item.source.label} <==\n")
        self._is_first = False
        for text in texts.values():
            sys.stdout.write(text)
        sys.stdout.flush()


@dataclass(slots=True)
class Tally:
    """What has become of a batch."""

    before: int = 0
    """Recordings that an earlier command had done."""
    done: int = 0
    failed: int = 0
    audio_s: float = 0.0

    def summary(self, total: int, elapsed_s: float) -> str:
        """One line; `total` counts all recordings of the batch."""
        parts = [f"{self.done} done"]
        if self.before:
            parts.append(f"{self.before} skipped (done before)")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if missing := total - self.before - self.done - self.failed:
            parts.append(f"{missing} not done")
        speed = f" ({self.audio_s / elapsed_s:.1f} times real time)" if self.audio_s else ""
        return f"{', '.join(parts)}; {self.audio_s:.1f} s of audio in {elapsed_s:.1f} s{speed}."


class Delivery:
    """Brings outcomes to their place, and counts them."""

    def __init__(
        self,
        place: Place,
        tally: Tally,
        on_done: Callable[[Item], None],
        on_failure: Callable[[Item, WhisperLiveError], None],
    ) -> None:
        self._place = place
        self._tally = tally
        self._on_done = on_done
        self._on_failure = on_failure

    def take(self, outcome: Outcome) -> bool:
        """Deliver an outcome; whether there are texts and they lie where they belong.

        Raises `OutOfSpace`: then nothing can be written any more.
        """
        failure = self._put(outcome)
        if failure is None:
            self._on_done(outcome.item)
        else:
            self._tally.failed += 1
            self._on_failure(outcome.item, failure)
        return failure is None

    def _put(self, outcome: Outcome) -> WhisperLiveError | None:
        result = outcome.result
        if isinstance(result, WhisperLiveError):
            return result
        try:
            self._place.put(outcome.item, outcome.stamp, result.by_format)
        except BadRequest as error:
            return error
        self._tally.done += 1
        self._tally.audio_s += result.duration
        return None


class InOrder:
    """Holds outcomes back until all before them have been delivered."""

    def __init__(self, items: Sequence[Item], deliver: OnOutcome) -> None:
        self._awaited = list(reversed(items))
        self._held: dict[Item, Outcome] = {}
        self._deliver = deliver

    def take(self, outcome: Outcome) -> bool:
        """Deliver it as soon as it is its turn; True, since it will be."""
        self._held[outcome.item] = outcome
        while self._awaited and self._awaited[-1] in self._held:
            self._deliver(self._held.pop(self._awaited.pop()))
        return True
