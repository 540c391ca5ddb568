"""Tells receivers of jobs that have ended, and tries again until they have heard it."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Final

import anyio
import structlog

from whisperlive_hybrid.errors import BadRequest, WhisperLiveError
from whisperlive_hybrid.jobs.api import job_end
from whisperlive_hybrid.jobs.model import Fetcher, Job
from whisperlive_hybrid.jobs.store.queries import Delivery
from whisperlive_hybrid.jobs.store.store import JobStore
from whisperlive_hybrid.notifier import Notifier

RETRY_AFTER_S: Final = (1.0, 10.0, 60.0, 300.0, 1800.0)
"""Waits after each try that failed; after the last of them it is tried a last time."""

_PREFIX: Final = "whsec_"
_WORTH_RETRYING: Final = (408, 409, 425, 429)
"""Refusals that may be others at another time."""


def key_of(secret: str) -> bytes:
    """The key that a secret stands for: base64 after `whsec_`, else the text itself.

    Raises `BadRequest` for a secret that is neither, and for one without a key: anybody could sign
    with it.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError as error:  # binascii's own is one; letters beyond ASCII are another
        raise BadRequest("WHISPERLIVE_WEBHOOK_SECRET is not base64 after whsec_.") from error
    if not key:
        raise BadRequest("WHISPERLIVE_WEBHOOK_SECRET has no key after whsec_.")
    return key


def signed_headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one try; `timestamp` is that of the try, in Unix seconds."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def has_arrived(status: int) -> bool:
    """Whether the receiver has taken the message."""
    return 200 <= status < 300


def is_hopeless(status: int) -> bool:
    """Whether the receiver will never take it."""
    return 400 <= status < 500 and status not in _WORTH_RETRYING


def next_try(failed_tries: int) -> float | None:
    """Seconds to wait after so many tries have failed; None to give up."""
    return RETRY_AFTER_S[failed_tries - 1] if failed_tries <= len(RETRY_AFTER_S) else None


AT_ONCE: Final = 8
"""Receivers that are told side by side: a slow one does not hold up all the others."""

log = structlog.get_logger(__name__)


def webhook_of(job: Job, now: float) -> Delivery | None:
    """What is to be told about a job that has ended; None if nobody asked."""
    if job.request.webhook_url is None:
        return None
    body = json.dumps(job_end(job), ensure_ascii=False)
    return Delivery(f"msg_{uuid.uuid4().hex}", job.request.webhook_url, body, now)


class Webhooks:
    """Sends what the store says is due. What it holds is told at least once, whatever dies."""

    def __init__(
        self,
        store: JobStore,
        fetcher: Fetcher,
        key: bytes,
        ended: Notifier,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`ended` is changed when a job has ended; `clock` gives Unix seconds."""
        self._store = store
        self._fetcher = fetcher
        self._key = key
        self._clock = clock
        self._ended = ended

    async def run(self) -> None:
        """Send what is due, then wait until something is; to be run as a task, and cancelled."""
        while True:
            changed = self._ended.next()
            next_due = await self.send_due()
            wait_s = None if next_due is None else max(0.0, next_due - self._clock())
            with anyio.move_on_after(wait_s):
                await changed.wait()

    async def send_due(self) -> float | None:
        """Send all that is due now; return when the next one will be."""
        while ripe := await self._store.due(self._clock(), AT_ONCE):
            async with anyio.create_task_group() as tasks:
                for delivery in ripe:
                    tasks.start_soon(self._send, delivery)
        return await self._store.next_due()

    async def _send(self, delivery: Delivery) -> None:
        with structlog.contextvars.bound_contextvars(job_id=_job_of(delivery)):
            await self._try(delivery)

    async def _try(self, delivery: Delivery) -> None:
        now, body = self._clock(), delivery.body.encode()
        headers = signed_headers(self._key, delivery.message_id, int(now), body)
        try:
            status = await self._fetcher.post(delivery.url, body, headers)
        except WhisperLiveError as error:
            await self._put_off(delivery, error.message)
            return
        if has_arrived(status):
            await self._store.close_delivery(delivery)
        elif is_hopeless(status):
            log.warning("webhook refused", message=delivery.message_id, status=status)
            await self._store.close_delivery(delivery)
        else:
            await self._put_off(delivery, f"status {status}")

    async def _put_off(self, delivery: Delivery, reason: str) -> None:
        wait_s = next_try(delivery.failed_tries + 1)
        log.warning("webhook failed", message=delivery.message_id, reason=reason, again_in_s=wait_s)
        if wait_s is None:
            await self._store.close_delivery(delivery)
        else:
            await self._store.postpone(delivery, self._clock() + wait_s)


def _job_of(delivery: Delivery) -> str:
    """The job that a message is about, for the log."""
    job_id: str = json.loads(delivery.body)["job"]["id"]
    return job_id
