import json
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from job_fixtures import SECRET, Clock, Network

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.jobs.model import Job, JobRequest, NewJob, NewSource, SourceOrigin, Status
from whisperlive_hybrid.jobs.store.queries import WebhookDelivery
from whisperlive_hybrid.jobs.store.store import JobStore, open_store
from whisperlive_hybrid.jobs.webhooks import (
    RETRY_AFTER_S,
    WebhookSender,
    create_delivery,
    parse_secret,
)
from whisperlive_hybrid.notifier import Notifier
from whisperlive_hybrid.protocol.openai.request import AudioRequest

pytestmark = pytest.mark.anyio

HOOK = "https://example/hook"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    """A fresh store."""
    with open_store(tmp_path) as opened:
        yield opened


async def cancelled_job(store: JobStore, clock: Clock) -> tuple[Job, WebhookDelivery]:
    """A job that has ended, its webhook in the store."""
    request = JobRequest(AudioRequest(), webhook_url=HOOK)
    source = NewSource("a", SourceOrigin.UPLOAD, "a.media")
    new = NewJob("job_1", "", request)
    job = (await store.add(new, [source], clock.now, 9)).as_cancelled(clock.now, 2e9)
    delivery = create_delivery(job, clock.now)
    assert delivery is not None
    assert await store.cancel(job, delivery)
    return job, delivery


async def test_a_receiver_that_fails_is_tried_again(store: JobStore) -> None:
    """After growing waits, with the same id and body, and a signature of the hour."""
    clock = Clock()
    network = Network(statuses=[500, BadRequest("silent"), 429, 302])
    webhooks = WebhookSender(store, network, parse_secret(SECRET), Notifier(), clock)
    await cancelled_job(store, clock)
    for wait_s in RETRY_AFTER_S[:4]:
        due_at = await webhooks.send_due()
        assert due_at == clock.now + wait_s
        clock.now += wait_s
    assert await webhooks.send_due() is None
    assert len(network.posted) == 5
    assert len({body for _, body, _ in network.posted}) == 1
    headers = [headers for _, _, headers in network.posted]
    assert len({each["webhook-id"] for each in headers}) == 1
    assert len({each["webhook-signature"] for each in headers}) == 5
    assert headers[-1]["webhook-timestamp"] == str(int(clock.now))


async def test_it_gives_up_in_the_end(store: JobStore) -> None:
    """After the last of its tries, nothing of it is kept."""
    clock, network = Clock(), Network(statuses=[503] * 9)
    webhooks = WebhookSender(store, network, parse_secret(SECRET), Notifier(), clock)
    await cancelled_job(store, clock)
    while (due_at := await webhooks.send_due()) is not None:
        clock.now = due_at
    assert len(network.posted) == len(RETRY_AFTER_S) + 1


@pytest.mark.parametrize(("status", "tries"), [(204, 1), (400, 1), (410, 1), (408, 2), (409, 2)])
async def test_some_answers_are_final(store: JobStore, status: int, tries: int) -> None:
    """What was taken is not sent again, nor what was refused for good."""
    clock, network = Clock(), Network(statuses=[status])
    webhooks = WebhookSender(store, network, parse_secret(SECRET), Notifier(), clock)
    await cancelled_job(store, clock)
    while (due_at := await webhooks.send_due()) is not None:
        clock.now = due_at
    assert len(network.posted) == tries


async def test_a_restart_loses_none(tmp_path: Path) -> None:
    """What failed before is tried again by the next process, when its time has come."""
    clock = Clock()
    with open_store(tmp_path) as store:
        await cancelled_job(store, clock)
        failing = Network(statuses=[503])
        await WebhookSender(store, failing, parse_secret(SECRET), Notifier(), clock).send_due()
    network = Network()
    with open_store(tmp_path) as store:
        webhooks = WebhookSender(store, network, parse_secret(SECRET), Notifier(), clock)
        assert await webhooks.send_due() == clock.now + 1
        clock.now += 1
        assert await webhooks.send_due() is None
    assert network.posted[0][2]["webhook-id"] == failing.posted[0][2]["webhook-id"]


async def test_it_wakes_when_a_job_ends(store: JobStore) -> None:
    """Nobody waits for the next round: there is none."""
    clock, ended = Clock(), Notifier()
    told = anyio.Event()

    class Listening(Network):
        async def post(self, *_: object) -> int:
            """Take it."""
            told.set()
            return 200

    webhooks = WebhookSender(store, Listening(), parse_secret(SECRET), ended, clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(webhooks.run)
        await anyio.wait_all_tasks_blocked()
        await cancelled_job(store, clock)
        ended.notify()
        with anyio.fail_after(30):
            await told.wait()
        tasks.cancel_scope.cancel()


async def test_the_body_is_the_last_event_of_the_job(store: JobStore) -> None:
    """Type and job, as a stream would have told it."""
    job, delivery = await cancelled_job(store, Clock())
    message = json.loads(delivery.body)
    assert message["type"] == "job.cancelled"
    assert message["job"]["id"] == job.id
    assert message["job"]["status"] == Status.CANCELLED.value
