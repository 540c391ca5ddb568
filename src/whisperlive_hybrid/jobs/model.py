"""Domain types of jobs: the request, the state of each file, and the state of the job.

Times are Unix seconds, since they are stored; lengths are seconds of audio.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import BinaryIO, Final, Protocol

from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.protocol.openai.request import AudioRequest
from whisperlive_hybrid.types import Segment


class Status(Enum):
    """State of a job, or of one of its files."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        """The state is final."""
        return self not in UNFINISHED


UNFINISHED: Final = (Status.QUEUED, Status.RUNNING)


class SourceOrigin(Enum):
    """How a file was submitted."""

    UPLOAD = "upload"
    URL = "url"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A submission without its uploads."""

    audio: AudioRequest
    """Model and options; its `response_format` is unused: each request of a result chooses one."""
    urls: tuple[str, ...] = ()
    webhook_url: str | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to store."""

    id: str
    account: str
    """The submitter's `Caller.account`."""
    request: JobRequest


@dataclass(frozen=True, slots=True)
class NewSource:
    """A file to store: an upload in the spool, or a URL to download later."""

    name: str
    origin: SourceOrigin
    spooled: str
    """Name in the spool; a URL gets it when it is downloaded."""
    url: str | None = None


@dataclass(frozen=True, slots=True)
class JobSource:
    """One file of a job."""

    number: int
    """Unique across all jobs."""
    index: int
    """Position in its job, from 0."""
    name: str
    """Given by the client: a label, neither a path nor a hint at the format."""
    origin: SourceOrigin
    url: str | None
    spooled: str
    """Name in the spool, where the file is kept until it has ended."""
    status: Status
    done: float = 0.0
    """Recording time up to which everything is transcribed."""
    total: float | None = None
    """Length in seconds; None while unknown."""
    failure: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """Transcript of one file; times on the recording clock."""

    segments: tuple[Segment, ...]
    language: str
    duration: float
    unread: tuple[tuple[float, float], ...] = ()
    """Speech without text, as in `Transcript`."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job. `language` is the requested one, else the first one detected."""

    number: int
    """Ascending in the order of submission."""
    id: str
    account: str
    """The submitter's `Caller.account`; "" for jobs stored before there were accounts."""
    request: JobRequest
    status: Status
    sources: tuple[JobSource, ...]
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    language: str | None = None
    text: str = ""
    """Text of all files, one line per file: only its end while the job runs."""

    @property
    def done(self) -> float:
        """Seconds of audio transcribed so far."""
        return sum(source.done for source in self.sources)

    @property
    def total(self) -> float | None:
        """Seconds of audio in all files; None while a length is unknown.

        A file that failed counts as far as it was transcribed: its length may never be known.
        """
        totals = [source.total for source in self.sources if source.status is not Status.FAILED]
        if None in totals:
            return None
        failed = [source.done for source in self.sources if source.status is Status.FAILED]
        return sum(total for total in totals if total is not None) + sum(failed)

    @property
    def outcome(self) -> Status:
        """Final state of a job whose files have all ended: completed if one file is."""
        succeeded = any(source.status is Status.COMPLETED for source in self.sources)
        return Status.COMPLETED if succeeded else Status.FAILED

    @property
    def failure(self) -> ErrorInfo | None:
        """Error of a failed job: that of its first file with one."""
        if self.status is not Status.FAILED:
            return None
        return next((source.failure for source in self.sources if source.failure), None)

    def with_transcripts(self, texts: Iterable[str], languages: Iterable[str]) -> "Job":
        """Return the job with the texts and languages of its files, in their order."""
        return replace(
            self,
            language=self.language or next(iter(languages), None),
            text="\n".join(text for text in texts if text),
        )

    def as_cancelled(self, now: float, expires_at: float) -> "Job":
        """Return the job as cancelled, together with all files that have not ended."""
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

    def with_source(self, source: JobSource) -> "Job":
        """Return the job with a new state of one file."""
        sources = (source if old.index == source.index else old for old in self.sources)
        return replace(self, sources=tuple(sources))


class Download(Protocol):
    """A file that was downloaded."""

    @property
    def filename(self) -> str:
        """A label, neither a path nor a hint at the format."""


class Fetcher(Protocol):
    """HTTP client for URLs of clients, which reaches public addresses only."""

    def check(self, url: str) -> None:
        """Raise `BadRequest` for a URL that is invalid or forbidden, without using the network."""

    async def download(self, url: str, into: BinaryIO) -> Download:
        """Download `url` to a file; raises `BadRequest`, `Overloaded`."""

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """Send `content`; return the status of the response. Raises as `download`."""
