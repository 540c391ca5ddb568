"""Rows to nouns and back."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import RowMapping

from whisperlive_hybrid.jobs.job import Job, JobRequest, NewJob, NewSource, Origin, Source, Status
from whisperlive_hybrid.jobs.stored import (
    audio_of_text,
    audio_to_text,
    failure_of_text,
    failure_to_text,
)

Values = dict[str, Any]


def job_of(row: RowMapping, sources: Iterable[RowMapping]) -> Job:
    """A job from its row and those of its files, in order."""
    found = tuple(source_of(each) for each in sources)
    urls = tuple(source.url for source in found if source.url is not None)
    return Job(
        number=row["number"],
        id=row["id"],
        account=row["account"],
        request=JobRequest(audio_of_text(row["audio"], row["model"]), urls, row["webhook_url"]),
        status=Status(row["status"]),
        sources=found,
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        expires_at=row["expires_at"],
        language=row["language"],
        text=row["text"],
    )


def new_job(new: NewJob, now: float) -> Values:
    """The row of a job that was just submitted."""
    request = new.request
    return {
        "id": new.id,
        "account": new.account,
        "status": Status.QUEUED.value,
        "model": request.audio.model,
        "audio": audio_to_text(request.audio),
        "language": request.audio.options.language,
        "webhook_url": request.webhook_url,
        "created_at": now,
    }


def end_of(job: Job) -> Values:
    """What changes of a job when it ends."""
    return {
        "status": job.status.value,
        "finished_at": job.finished_at,
        "expires_at": job.expires_at,
        "language": job.language,
        "text": job.text,
    }


def new_source(job: int, position: int, source: NewSource) -> Values:
    """The row of a file that was just submitted."""
    return {
        "job": job,
        "position": position,
        "name": source.name,
        "origin": source.origin.value,
        "url": source.url,
        "spooled": source.spooled,
        "status": Status.QUEUED.value,
    }


def source_of(row: RowMapping) -> Source:
    """A file from its row."""
    return Source(
        number=row["number"],
        index=row["position"],
        name=row["name"],
        origin=Origin(row["origin"]),
        url=row["url"],
        spooled=row["spooled"],
        status=Status(row["status"]),
        done=row["done"],
        total=row["total"],
        failure=failure_of_text(row["failure"]),
    )


def state_of(source: Source) -> Values:
    """What changes of a file while its job runs."""
    return {
        "name": source.name,
        "status": source.status.value,
        "done": source.done,
        "total": source.total,
        "failure": failure_to_text(source.failure),
    }
