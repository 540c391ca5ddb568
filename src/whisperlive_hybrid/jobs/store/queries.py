"""Queries of the tables of jobs: each function is a transaction, or a part of one.

All of it is SQL that PostgreSQL supports as well. A lease is acquired, renewed and ended by updates
whose `where` names the expected state, so that two servers could share one database.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from whisperlive_hybrid.errors import Overloaded
from whisperlive_hybrid.jobs.model import (
    UNFINISHED,
    Job,
    JobRequest,
    JobSource,
    NewJob,
    NewSource,
    SourceOrigin,
    Status,
)
from whisperlive_hybrid.jobs.store.checkpoints import (
    dump_audio,
    dump_failure,
    load_audio,
    load_failure,
)
from whisperlive_hybrid.jobs.store.schema import deliveries, jobs, readings, sources

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One message to one receiver; the body is the same at every attempt."""

    message_id: str
    url: str
    body: str
    due_at: float
    """Unix seconds."""
    failed_tries: int = 0


FULL_RETRY_S: Final = 5.0
"""Retry-after of a rejected job: a job of a short file ends in seconds, and a client that waits
much longer leaves the server idle. Much shorter would cost more, since every attempt uploads the
files again."""

_UNFINISHED = [status.value for status in UNFINISHED]
# Results are long, and a list does not contain them.
_LISTED = [column for column in sources.c if column is not sources.c.result]


def add(
    connection: Connection,
    new: NewJob,
    files: Sequence[NewSource],
    *,
    now: float,
    limit: int,
) -> Job:
    """Store a new job; raises `Overloaded` if `limit` jobs are unfinished already."""
    # In the transaction of the insert, so that two submissions cannot both be the last.
    unfinished = select(func.count()).select_from(jobs).where(jobs.c.status.in_(_UNFINISHED))
    if (connection.scalar(unfinished) or 0) >= limit:
        raise Overloaded(
            f"{limit} jobs are unfinished already; try later.", retry_after_s=FULL_RETRY_S
        )
    request = new.request
    row = {
        "id": new.id,
        "account": new.account,
        "status": Status.QUEUED.value,
        "model": request.audio.model,
        "audio": dump_audio(request.audio),
        "language": request.audio.options.language,
        "webhook_url": request.webhook_url,
        "created_at": now,
    }
    number = connection.scalars(insert(jobs).values(row).returning(jobs.c.number)).one()
    source_rows = [
        {
            "job": number,
            "position": position,
            "name": file.name,
            "origin": file.origin.value,
            "url": file.url,
            "spooled": file.spooled,
            "status": Status.QUEUED.value,
        }
        for position, file in enumerate(files)
    ]
    connection.execute(insert(sources), source_rows)
    return select_jobs(connection, jobs.c.number == number, limit=1)[0]


def select_jobs(connection: Connection, where: ColumnElement[bool], *, limit: int) -> list[Job]:
    """Return the newest jobs that match, with their files, newest first."""
    newest = select(jobs).where(where).order_by(jobs.c.number.desc()).limit(limit)
    job_rows = connection.execute(newest).mappings().all()
    numbers = [row["number"] for row in job_rows]
    # A second query: a join would repeat the text of a job for each of its files.
    of_these = select(*_LISTED).where(sources.c.job.in_(numbers)).order_by(sources.c.position)
    files: dict[int, list[RowMapping]] = {number: [] for number in numbers}
    for file in connection.execute(of_these).mappings():
        files[file["job"]].append(file)
    return [_load_job(row, files[row["number"]]) for row in job_rows]


def _load_job(row: RowMapping, source_rows: Iterable[RowMapping]) -> Job:
    job_sources = tuple(
        JobSource(
            number=source["number"],
            index=source["position"],
            name=source["name"],
            origin=SourceOrigin(source["origin"]),
            url=source["url"],
            spooled=source["spooled"],
            status=Status(source["status"]),
            done=source["done"],
            total=source["total"],
            failure=load_failure(source["failure"]),
        )
        for source in source_rows
    )
    urls = tuple(source.url for source in job_sources if source.url is not None)
    return Job(
        number=row["number"],
        id=row["id"],
        account=row["account"],
        request=JobRequest(load_audio(row["audio"], row["model"]), urls, row["webhook_url"]),
        status=Status(row["status"]),
        sources=job_sources,
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        expires_at=row["expires_at"],
        language=row["language"],
        text=row["text"],
    )


def select_page(
    connection: Connection,
    *,
    limit: int,
    before: int | None,
    status: Status | None,
    account: str | None,
) -> list[Job]:
    """Return the newest jobs whose number is below `before`; None for an argument: any."""
    conditions = [] if before is None else [jobs.c.number < before]
    conditions += [] if status is None else [jobs.c.status == status.value]
    conditions += [] if account is None else [jobs.c.account == account]
    return select_jobs(connection, and_(True, *conditions), limit=limit)


def count_by_status(connection: Connection) -> dict[Status, int]:
    """Return the number of jobs of every status."""
    query = select(jobs.c.status, func.count()).group_by(jobs.c.status)
    counts = {Status(status): number for status, number in connection.execute(query)}
    # All statuses, since a metric must have all series.
    return {status: counts.get(status, 0) for status in Status}


def take(
    connection: Connection, owner: str, models: Collection[str], *, now: float, until: float
) -> Job | None:
    """Lease the oldest job that no worker runs and whose model is available; None without one."""
    free = or_(
        jobs.c.status == Status.QUEUED.value,
        and_(
            jobs.c.status == Status.RUNNING.value,
            # Without a lease it was released, by a stop or a start of the server.
            or_(jobs.c.leased_until.is_(None), jobs.c.leased_until < now),
        ),
    )
    oldest = select(jobs.c.number, jobs.c.started_at).where(free, jobs.c.model.in_(models))
    found = connection.execute(oldest.order_by(jobs.c.number).limit(1)).first()
    if found is None:
        return None
    # `free` again: with several servers, another one may have taken it since the select.
    lease = update(jobs).where(jobs.c.number == found.number, free)
    leased = connection.execute(
        lease.values(
            status=Status.RUNNING.value,
            owner=owner,
            leased_until=until,
            started_at=now if found.started_at is None else found.started_at,
        )
    )
    if not leased.rowcount:
        return None
    return select_jobs(connection, jobs.c.number == found.number, limit=1)[0]


def renew(connection: Connection, number: int, owner: str, *, until: float) -> bool:
    """Extend a lease; return False if it is lost: the job was cancelled, deleted or taken."""
    lease = update(jobs).where(_is_leased(number, owner)).values(leased_until=until)
    return connection.execute(lease).rowcount > 0


def release(connection: Connection, number: int, owner: str) -> None:
    """End a lease, so that another worker can continue the job at once."""
    lease = update(jobs).where(_is_leased(number, owner)).values(owner=None, leased_until=None)
    connection.execute(lease)


def release_all(connection: Connection) -> int:
    """End the leases of all jobs, for a start, when no worker runs; return their number."""
    running = update(jobs).where(jobs.c.status == Status.RUNNING.value)
    return connection.execute(running.values(owner=None, leased_until=None)).rowcount


def cancel(connection: Connection, job: Job, webhook: WebhookDelivery | None) -> bool:
    """End a job that has not ended, and add its webhook; return False if it has ended."""
    unfinished = update(jobs).where(jobs.c.number == job.number, jobs.c.status.in_(_UNFINISHED))
    if not connection.execute(unfinished.values(_end_values(job))).rowcount:
        return False
    files = update(sources).where(sources.c.job == job.number, sources.c.status.in_(_UNFINISHED))
    connection.execute(files.values(status=Status.CANCELLED.value))
    of_job = select(sources.c.number).where(sources.c.job == job.number)
    # The job's text contains their text now.
    connection.execute(delete(readings).where(readings.c.source.in_(of_job)))
    if webhook is not None:
        add_delivery(connection, job.number, webhook)
    return True


def end_job(connection: Connection, job: Job, owner: str, webhook: WebhookDelivery | None) -> bool:
    """Store the end of a job and its webhook; return False if the lease is lost."""
    leased = update(jobs).where(_is_leased(job.number, owner))
    if not connection.execute(leased.values(_end_values(job))).rowcount:
        return False
    if webhook is not None:
        add_delivery(connection, job.number, webhook)
    return True


def set_source(connection: Connection, source: JobSource) -> None:
    """Store the state of a file."""
    connection.execute(update(sources).where(_is_open(source)).values(_source_values(source)))


def end_source(connection: Connection, source: JobSource, result: str | None) -> None:
    """Store the end of a file, and delete its checkpoints."""
    state = _source_values(source) | {"result": result}
    connection.execute(update(sources).where(_is_open(source)).values(state))
    connection.execute(delete(readings).where(readings.c.source == source.number))


def set_text(connection: Connection, number: int, text: str) -> None:
    """Store the end of the text so far."""
    connection.execute(update(jobs).where(jobs.c.number == number).values(text=text))


def select_result(connection: Connection, source: int) -> str | None:
    """Return the result of a file as it is stored; None if there is none."""
    return connection.scalar(select(sources.c.result).where(sources.c.number == source))


def delete_jobs(connection: Connection, where: ColumnElement[bool]) -> list[str]:
    """Delete jobs with all their rows; return the names of their files in the spool."""
    of_these = select(jobs.c.number).where(where)
    spooled = select(sources.c.spooled).where(sources.c.job.in_(of_these))
    names = list(connection.scalars(spooled))
    # Rows of the other tables are deleted by ON DELETE CASCADE.
    connection.execute(delete(jobs).where(where))
    return names


def select_next_expiry(connection: Connection) -> float | None:
    """Return the time at which the next job expires."""
    expires_at: float | None = connection.scalar(select(func.min(jobs.c.expires_at)))
    return expires_at


def select_spooled(connection: Connection) -> set[str]:
    """Return the spool names of all files that have not ended."""
    needed = select(sources.c.spooled).where(sources.c.status.in_(_UNFINISHED))
    return set(connection.scalars(needed))


def _is_leased(number: int, owner: str) -> ColumnElement[bool]:
    return and_(
        jobs.c.number == number,
        jobs.c.owner == owner,
        jobs.c.status == Status.RUNNING.value,
    )


def _is_open(source: JobSource) -> ColumnElement[bool]:
    """Match the row of a file unless it has ended, so that no worker revives a cancelled one."""
    return and_(sources.c.number == source.number, sources.c.status.in_(_UNFINISHED))


def _end_values(job: Job) -> Values:
    """Return the columns that change when a job ends, its lease included."""
    return {
        "status": job.status.value,
        "finished_at": job.finished_at,
        "expires_at": job.expires_at,
        "language": job.language,
        "text": job.text,
        "owner": None,
        "leased_until": None,
    }


def _source_values(source: JobSource) -> Values:
    """Return the columns of a file that change while its job runs."""
    return {
        "name": source.name,
        "status": source.status.value,
        "done": source.done,
        "total": source.total,
        "failure": dump_failure(source.failure),
    }


def add_delivery(connection: Connection, job: int, delivery: WebhookDelivery) -> None:
    """Store a message about the end of a job."""
    connection.execute(
        insert(deliveries).values(
            job=job,
            message_id=delivery.message_id,
            url=delivery.url,
            body=delivery.body,
            due_at=delivery.due_at,
        )
    )


def select_due(connection: Connection, now: float, limit: int) -> list[WebhookDelivery]:
    """Return messages that are due, oldest first."""
    due = select(deliveries).where(deliveries.c.due_at <= now)
    rows = connection.execute(due.order_by(deliveries.c.due_at).limit(limit))
    return [
        WebhookDelivery(row.message_id, row.url, row.body, row.due_at, row.failed_tries)
        for row in rows
    ]


def select_next_due(connection: Connection) -> float | None:
    """Return the time at which the next message is due."""
    due_at: float | None = connection.scalar(select(func.min(deliveries.c.due_at)))
    return due_at


def postpone(connection: Connection, delivery: WebhookDelivery, due_at: float) -> None:
    """Count a failed attempt, and set the time of the next."""
    this = update(deliveries).where(deliveries.c.message_id == delivery.message_id)
    connection.execute(this.values(failed_tries=delivery.failed_tries + 1, due_at=due_at))


def delete_delivery(connection: Connection, delivery: WebhookDelivery) -> None:
    """Delete a message that was delivered or given up."""
    this = delete(deliveries).where(deliveries.c.message_id == delivery.message_id)
    connection.execute(this)
