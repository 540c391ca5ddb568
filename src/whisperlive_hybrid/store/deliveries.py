"""Webhooks that are still to be delivered; kept until they are, across restarts."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from whisperlive_hybrid.store.schema import deliveries


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one receiver; the body is the same at every try."""

    message_id: str
    url: str
    body: str
    due_at: float
    """Unix seconds."""
    failed_tries: int = 0


def add(connection: Connection, job: int, delivery: Delivery) -> None:
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


def remove(connection: Connection, delivery: Delivery) -> None:
    """Forget one."""
    this = delete(deliveries).where(deliveries.c.message_id == delivery.message_id)
    connection.execute(this)
