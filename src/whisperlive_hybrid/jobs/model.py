"""The nouns of jobs: what was asked for, what became of each file, and of the whole.

Moments are Unix seconds, since they outlive a process; lengths are seconds of audio.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import BinaryIO, Final, Protocol

from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.protocol.openai.request import AudioRequest
from whisperlive_hybrid.types import Segment


class Status(Enum):
    """Where a job stands, or one of its files."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        """Whether it never changes again."""
        return self not in UNFINISHED


UNFINISHED: Final = (Status.QUEUED, Status.RUNNING)


class Origin(Enum):
    """Where a file came from."""

    UPLOAD = "upload"
    URL = "url"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a client asked for, without its uploads."""

    audio: AudioRequest
    """With which model and how to read; its `response_format` is chosen when the result is."""
    urls: tuple[str, ...] = ()
    webhook_url: str | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be."""

    id: str
    account: str
    """Whose it is: a `Caller.account`."""
    request: JobRequest


@dataclass(frozen=True, slots=True)
class NewSource:
    """A file to be: an upload that lies in the spool, or a URL that is still to be fetched."""

    name: str
    origin: Origin
    spooled: str
    """Its name in the spool; for a URL, the one that it will get."""
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a job."""

    number: int
    """Its own, across all jobs."""
    index: int
    """Its place in its job."""
    name: str
    """As the client calls it: a label, no path and no promise of a format."""
    origin: Origin
    url: str | None
    spooled: str
    """Its name in the spool, under which it lies there until it is read."""
    status: Status
    done: float = 0.0
    """Recording time up to which everything is read."""
    total: float | None = None
    """Its length; None while unknown."""
    failure: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What was said in one file; times on the recording clock."""

    segments: tuple[Segment, ...]
    language: str
    duration: float
    unread: tuple[tuple[float, float], ...] = ()
    """Speech without text, as in `Transcript`."""


@dataclass(frozen=True, slots=True)
class Job:
    """One submission. `language` is the one asked for, or else the one first heard."""

    number: int
    """In the order of submission."""
    id: str
    account: str
    """Whose it is: a `Caller.account`; "" for one from before there were accounts."""
    request: JobRequest
    status: Status
    sources: tuple[Source, ...]
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    language: str | None = None
    text: str = ""
    """Of all its files, a line each: the end of it while it runs, all of it once it has ended."""

    @property
    def done(self) -> float:
        """Seconds of audio that are read."""
        return sum(source.done for source in self.sources)

    @property
    def total(self) -> float | None:
        """Seconds of audio that there are; None while a length is unknown.

        A file that failed before its length was known has none.
        """
        totals = [source.total for source in self.sources if source.status is not Status.FAILED]
        if None in totals:
            return None
        failed = [source.done for source in self.sources if source.status is Status.FAILED]
        return sum(total for total in totals if total is not None) + sum(failed)

    @property
    def outcome(self) -> Status:
        """What a job is whose files have all ended: one that succeeded is enough."""
        succeeded = any(source.status is Status.COMPLETED for source in self.sources)
        return Status.COMPLETED if succeeded else Status.FAILED

    @property
    def failure(self) -> ErrorInfo | None:
        """Why the job failed: what its first file says."""
        if self.status is not Status.FAILED:
            return None
        return next((source.failure for source in self.sources if source.failure), None)

    def with_heard(self, texts: Iterable[str], languages: Iterable[str]) -> "Job":
        """The job with what was said in its files, and in which languages, in their order."""
        return replace(
            self,
            language=self.language or next(iter(languages), None),
            text="\n".join(text for text in texts if text),
        )

    def cancelled(self, now: float, expires_at: float) -> "Job":
        """The job, cancelled with all its files that have not ended."""
        sources = (
            source if source.status.is_finished else replace(source, status=Status.CANCELLED)
            for source in self.sources
        )
        return replace(
            self,
            status=Status.CANCELLED,
            sources=tuple(sources),
            finished_at=now,
            expires_at=expires_at,
        )

    def with_source(self, source: Source) -> "Job":
        """The job with one of its files in another state."""
        sources = (source if each.index == source.index else each for each in self.sources)
        return replace(self, sources=tuple(sources))


class Download(Protocol):
    """What was fetched."""

    @property
    def filename(self) -> str:
        """A label, no path and no promise of a format."""


class Fetcher(Protocol):
    """Asks other servers on behalf of clients, and lets nobody reach what is not public."""

    def check(self, url: str) -> None:
        """Raise `BadRequest` for a URL that would be refused whatever the network says."""

    async def download(self, url: str, into: BinaryIO) -> Download:
        """Write what is found at `url` to a file; raises `BadRequest`, `Overloaded`."""

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """Send `content`; return the status that is answered. Raises as `download`."""
