"""What is asked of the tables of jobs: each function is one transaction, or a part of one.

All of it is SQL that PostgreSQL speaks as well. A job changes hands only through updates whose
`where` names the state that they expect, so two servers could work on one database.
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
    NewJob,
    NewSource,
    Origin,
    Source,
    Status,
)
from whisperlive_hybrid.jobs.store.checkpoints import (
    audio_of_text,
    audio_to_text,
    failure_of_text,
    failure_to_text,
)
from whisperlive_hybrid.jobs.store.schema import deliveries, jobs, readings, sources

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


FULL_RETRY_S: Final = 5.0
"""When to ask again where too many jobs are unfinished: one of a short file ends in seconds, and a
client that waits much longer leaves the server idle. Much shorter would cost more, since whoever
asks again sends its files again."""

_UNFINISHED = [status.value for status in UNFINISHED]
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
    waiting = select(func.count()).select_from(jobs).where(jobs.c.status.in_(_UNFINISHED))
    if (connection.scalar(waiting) or 0) >= limit:
        raise Overloaded(
            f"{limit} jobs are unfinished already; try later.", retry_after_s=FULL_RETRY_S
        )
    row = new_job(new, now)
    number = connection.scalars(insert(jobs).values(row).returning(jobs.c.number)).one()
    of_job = [new_source(number, position, file) for position, file in enumerate(files)]
    connection.execute(insert(sources), of_job)
    return one(connection, jobs.c.number == number)[0]


def one(connection: Connection, where: ColumnElement[bool]) -> list[Job]:
    """The job that a unique column names, in a list; an empty one if there is none."""
    return _jobs(connection, where, limit=1)


def page(
    connection: Connection,
    *,
    limit: int,
    before: int | None,
    status: Status | None,
    account: str | None,
) -> list[Job]:
    """The newest jobs whose number is below `before`; None: whatever it is."""
    wanted = [] if before is None else [jobs.c.number < before]
    wanted += [] if status is None else [jobs.c.status == status.value]
    wanted += [] if account is None else [jobs.c.account == account]
    return _jobs(connection, and_(True, *wanted), limit=limit)


def _jobs(connection: Connection, where: ColumnElement[bool], *, limit: int) -> list[Job]:
    found = select(jobs).where(where).order_by(jobs.c.number.desc()).limit(limit)
    job_rows = connection.execute(found).mappings().all()
    numbers = [row["number"] for row in job_rows]
    of_these = select(*_LISTED).where(sources.c.job.in_(numbers)).order_by(sources.c.position)
    files: dict[int, list[Any]] = {number: [] for number in numbers}
    for file in connection.execute(of_these).mappings():
        files[file["job"]].append(file)
    return [job_of(row, files[row["number"]]) for row in job_rows]


def counts(connection: Connection) -> dict[Status, int]:
    """How many jobs there are of every status."""
    found = select(jobs.c.status, func.count()).group_by(jobs.c.status)
    known = {Status(status): number for status, number in connection.execute(found)}
    return {status: known.get(status, 0) for status in Status}


def take(
    connection: Connection, owner: str, models: Collection[str], *, now: float, until: float
) -> Job | None:
    """Lease the oldest job that nobody runs and whose model is at hand; None if there is none."""
    free = or_(
        jobs.c.status == Status.QUEUED.value,
        and_(
            jobs.c.status == Status.RUNNING.value,
            or_(jobs.c.leased_until.is_(None), jobs.c.leased_until < now),
        ),
    )
    oldest = select(jobs.c.number, jobs.c.started_at).where(free, jobs.c.model.in_(models))
    found = connection.execute(oldest.order_by(jobs.c.number).limit(1)).first()
    if found is None:
        return None
    lease = update(jobs).where(jobs.c.number == found.number, free)
    taken = connection.execute(
        lease.values(
            status=Status.RUNNING.value,
            owner=owner,
            leased_until=until,
            started_at=now if found.started_at is None else found.started_at,
        )
    )
    return one(connection, jobs.c.number == found.number)[0] if taken.rowcount else None


def renew(connection: Connection, number: int, owner: str, *, until: float) -> bool:
    """Keep a job for longer; False if it is no longer the owner's: cancelled, deleted, or taken."""
    kept = update(jobs).where(_held(number, owner)).values(leased_until=until)
    return connection.execute(kept).rowcount > 0


def release(connection: Connection, number: int, owner: str) -> None:
    """Give a job back unfinished: whoever comes next may go on with it at once."""
    back = update(jobs).where(_held(number, owner)).values(owner=None, leased_until=None)
    connection.execute(back)


def release_all(connection: Connection) -> int:
    """Give all jobs back, since whoever ran them is known to be dead; return how many."""
    running = update(jobs).where(jobs.c.status == Status.RUNNING.value)
    return connection.execute(running.values(owner=None, leased_until=None)).rowcount


def cancel(connection: Connection, job: Job) -> bool:
    """End a job that has not ended; False if it has."""
    ended = update(jobs).where(jobs.c.number == job.number, jobs.c.status.in_(_UNFINISHED))
    if not connection.execute(ended.values(_end_of(job))).rowcount:
        return False
    files = update(sources).where(sources.c.job == job.number, sources.c.status.in_(_UNFINISHED))
    connection.execute(files.values(status=Status.CANCELLED.value))
    of_job = select(sources.c.number).where(sources.c.job == job.number)
    connection.execute(delete(readings).where(readings.c.source.in_(of_job)))
    return True


def set_source(connection: Connection, source: Source) -> None:
    """Store where a file stands."""
    connection.execute(update(sources).where(_open(source)).values(state_of(source)))


def end_source(connection: Connection, source: Source, result: str | None) -> None:
    """Store what became of a file; the readings of its windows have served."""
    state = state_of(source) | {"result": result}
    connection.execute(update(sources).where(_open(source)).values(state))
    connection.execute(delete(readings).where(readings.c.source == source.number))


def end_job(connection: Connection, job: Job, owner: str) -> bool:
    """Store the end of a job; False if it is no longer the owner's."""
    ended = update(jobs).where(_held(job.number, owner))
    return connection.execute(ended.values(_end_of(job))).rowcount > 0


def set_text(connection: Connection, number: int, text: str) -> None:
    """Store the end of the text so far."""
    connection.execute(update(jobs).where(jobs.c.number == number).values(text=text))


def result(connection: Connection, source: int) -> str | None:
    """What was said in a file; None while that is not known."""
    return connection.scalar(select(sources.c.result).where(sources.c.number == source))


def remove(connection: Connection, where: ColumnElement[bool]) -> list[str]:
    """Delete jobs with all that belongs to them; return the names of their files in the spool."""
    of_these = select(jobs.c.number).where(where)
    spooled = select(sources.c.spooled).where(sources.c.job.in_(of_these))
    names = list(connection.scalars(spooled))
    connection.execute(delete(jobs).where(where))
    return names


def next_expiry(connection: Connection) -> float | None:
    """When the next job is to be deleted."""
    moment: float | None = connection.scalar(select(func.min(jobs.c.expires_at)))
    return moment


def spooled(connection: Connection) -> set[str]:
    """The names of all files that are still to be read."""
    needed = select(sources.c.spooled).where(sources.c.status.in_(_UNFINISHED))
    return set(connection.scalars(needed))


def _held(number: int, owner: str) -> ColumnElement[bool]:
    return and_(
        jobs.c.number == number,
        jobs.c.owner == owner,
        jobs.c.status == Status.RUNNING.value,
    )


def _open(source: Source) -> ColumnElement[bool]:
    """The row of a file, unless it has ended: cancelled is cancelled."""
    return and_(sources.c.number == source.number, sources.c.status.in_(_UNFINISHED))


def _end_of(job: Job) -> dict[str, Any]:
    """What changes of a job that ends, its lease included."""
    return end_of(job) | {"owner": None, "leased_until": None}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one receiver; the body is the same at every try."""

    message_id: str
    url: str
    body: str
    due_at: float
    """Unix seconds."""
    failed_tries: int = 0


def add_delivery(connection: Connection, job: int, delivery: Delivery) -> None:
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


def due(connection: Connection, now: float, limit: int) -> list[Delivery]:
    """Those whose time has come, oldest first."""
    ripe = select(deliveries).where(deliveries.c.due_at <= now)
    found = connection.execute(ripe.order_by(deliveries.c.due_at).limit(limit))
    return [
        Delivery(row.message_id, row.url, row.body, row.due_at, row.failed_tries) for row in found
    ]


def next_due(connection: Connection) -> float | None:
    """When the next one's time comes."""
    moment: float | None = connection.scalar(select(func.min(deliveries.c.due_at)))
    return moment


def postpone(connection: Connection, delivery: Delivery, due_at: float) -> None:
    """Count a failed try."""
    this = update(deliveries).where(deliveries.c.message_id == delivery.message_id)
    connection.execute(this.values(failed_tries=delivery.failed_tries + 1, due_at=due_at))


def remove_delivery(connection: Connection, delivery: Delivery) -> None:
    """Forget one."""
    this = delete(deliveries).where(deliveries.c.message_id == delivery.message_id)
    connection.execute(this)
