import base64
import hashlib
import hmac
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
    is_delivered,
    is_permanent,
    parse_secret,
    retry_delay,
    sign_headers,
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
    """After growing waits, with the same id and body, and a signature of the current time."""
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
    """After the last attempt the message is deleted."""
    clock, network = Clock(), Network(statuses=[503] * 9)
    webhooks = WebhookSender(store, network, parse_secret(SECRET), Notifier(), clock)
    await cancelled_job(store, clock)
    while (due_at := await webhooks.send_due()) is not None:
        clock.now = due_at
    assert len(network.posted) == len(RETRY_AFTER_S) + 1


@pytest.mark.parametrize(("status", "tries"), [(204, 1), (400, 1), (410, 1), (408, 2), (409, 2)])
async def test_some_answers_are_final(store: JobStore, status: int, tries: int) -> None:
    """Neither an accepted message nor a permanently rejected one is sent again."""
    clock, network = Clock(), Network(statuses=[status])
    webhooks = WebhookSender(store, network, parse_secret(SECRET), Notifier(), clock)
    await cancelled_job(store, clock)
    while (due_at := await webhooks.send_due()) is not None:
        clock.now = due_at
    assert len(network.posted) == tries


async def test_a_restart_loses_none(tmp_path: Path) -> None:
    """The next process retries a failed message when it is due."""
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
    """It does not poll."""
    clock, ended = Clock(), Notifier()
    sent = anyio.Event()

    class Listening(Network):
        async def post(self, *_: object) -> int:
            """Accept the message."""
            sent.set()
            return 200

    webhooks = WebhookSender(store, Listening(), parse_secret(SECRET), ended, clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(webhooks.run)
        await anyio.wait_all_tasks_blocked()
        await cancelled_job(store, clock)
        ended.notify()
        with anyio.fail_after(30):
            await sent.wait()
        tasks.cancel_scope.cancel()


async def test_the_body_is_the_last_event_of_the_job(store: JobStore) -> None:
    """Type and job, as in the event stream."""
    job, delivery = await cancelled_job(store, Clock())
    message = json.loads(delivery.body)
    assert message["type"] == "job.cancelled"
    assert message["job"]["id"] == job.id
    assert message["job"]["status"] == Status.CANCELLED.value


def test_the_example_of_the_specification() -> None:
    """The test vector that the libraries of Standard Webhooks share."""
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = sign_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "content-type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_plain_secret_is_its_own_key() -> None:
    """The signature is that of the text itself."""
    headers = sign_headers(parse_secret("plain"), "msg_1", 7, b"{}")
    digest = hmac.digest(b"plain", b"msg_1.7.{}", hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize("broken", ["*", "ü"])
def test_a_broken_secret_is_named(broken: str) -> None:
    """The message names the setting, and not the secret."""
    with pytest.raises(BadRequest, match="WHISPERLIVE_WEBHOOK_SECRET") as refusal:
        parse_secret(f"whsec_{broken}")
    assert broken not in refusal.value.message


def test_a_secret_without_a_key_is_refused() -> None:
    """Anyone could sign with an empty key."""
    with pytest.raises(BadRequest, match="WHISPERLIVE_WEBHOOK_SECRET has no key"):
        parse_secret("whsec_")


def test_statuses_of_receivers() -> None:
    """Delivered, rejected permanently, or to be retried."""
    assert [is_delivered(status) for status in (199, 200, 299, 302)] == [False, True, True, False]
    hopeless = [status for status in range(200, 600) if is_permanent(status)]
    assert {400, 401, 404, 410, 422} <= set(hopeless)
    assert not {302, 408, 409, 425, 429, 500, 503} & set(hopeless)


def test_waits_grow_and_end() -> None:
    """Each failed attempt is followed by a longer wait, the last by none."""
    waits = [retry_delay(failed) for failed in range(1, len(RETRY_AFTER_S) + 2)]
    assert waits == [1, 10, 60, 300, 1800, None]
