"""Webhooks (Standard Webhooks): signed messages about ended jobs, sent with retries."""

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
from whisperlive_hybrid.jobs.api import render_end
from whisperlive_hybrid.jobs.model import Fetcher, Job
from whisperlive_hybrid.jobs.store.queries import WebhookDelivery
from whisperlive_hybrid.jobs.store.store import JobStore
from whisperlive_hybrid.notifier import Notifier

RETRY_AFTER_S: Final = (1.0, 10.0, 60.0, 300.0, 1800.0)
"""Waits after each failed attempt; one last attempt follows the last of them."""

_PREFIX: Final = "whsec_"
_TEMPORARY: Final = (408, 409, 425, 429)
"""4xx statuses that may change on a later attempt."""


def parse_secret(secret: str) -> bytes:
    """Return the key of a secret: base64 after `whsec_`, else the text itself.

    Raises `BadRequest` for invalid base64, and for an empty key, with which anyone could sign.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError as error:  # binascii.Error is one; non-ASCII characters raise another
        raise BadRequest("WHISPERLIVE_WEBHOOK_SECRET is not base64 after whsec_.") from error
    if not key:
        raise BadRequest("WHISPERLIVE_WEBHOOK_SECRET has no key after whsec_.")
    return key


def sign_headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of one attempt at `timestamp`, in Unix seconds."""
    # The timestamp is signed too, so that receivers can reject replays.
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def is_delivered(status: int) -> bool:
    """Return True if the receiver has accepted the message."""
    return 200 <= status < 300


def is_permanent(status: int) -> bool:
    """Return True if the receiver has rejected the message and will not accept it later."""
    return 400 <= status < 500 and status not in _TEMPORARY


def retry_delay(failed_tries: int) -> float | None:
    """Return the seconds to wait after so many failed attempts; None to give up."""
    return RETRY_AFTER_S[failed_tries - 1] if failed_tries <= len(RETRY_AFTER_S) else None


MAX_PARALLEL: Final = 8
"""Messages sent at once, so that a slow receiver does not delay those of all others."""

log = structlog.get_logger(__name__)


def create_delivery(job: Job, now: float) -> WebhookDelivery | None:
    """Return the message about a job that has ended; None if it has no webhook URL."""
    if job.request.webhook_url is None:
        return None
    # Stored as text, so that all attempts send the same bytes.
    body = json.dumps(render_end(job), ensure_ascii=False)
    return WebhookDelivery(f"msg_{uuid.uuid4().hex}", job.request.webhook_url, body, now)


class WebhookSender:
    """Sends due messages of the store, each at least once, even after a crash."""

    def __init__(
        self,
        store: JobStore,
        fetcher: Fetcher,
        key: bytes,
        ended: Notifier,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`ended` is notified when a job has ended; `clock` gives Unix seconds."""
        self._store = store
        self._fetcher = fetcher
        self._key = key
        self._clock = clock
        self._ended = ended

    async def run(self) -> None:
        """Send due messages, then wait for the next. Background task, ended by cancellation."""
        while True:
            # Taken before the query, so that no job that ends meanwhile is missed.
            changed = self._ended.next()
            next_due = await self.send_due()
            wait_s = None if next_due is None else max(0.0, next_due - self._clock())
            with anyio.move_on_after(wait_s):
                await changed.wait()

    async def send_due(self) -> float | None:
        """Send all messages that are due; return the time at which the next one is due."""
        # Delivered messages are deleted and failed ones postponed, so this ends.
        while deliveries := await self._store.get_due(self._clock(), MAX_PARALLEL):
            async with anyio.create_task_group() as tasks:
                for delivery in deliveries:
                    tasks.start_soon(self._send, delivery)
        return await self._store.get_next_due()

    async def _send(self, delivery: WebhookDelivery) -> None:
        now, body = self._clock(), delivery.body.encode()
        headers = sign_headers(self._key, delivery.message_id, int(now), body)
        job_id = json.loads(body)["job"]["id"]
        with structlog.contextvars.bound_contextvars(job_id=job_id):
            try:
                status = await self._fetcher.post(delivery.url, body, headers)
            except WhisperLiveError as error:
                await self._postpone(delivery, error.message)
                return
            if is_delivered(status):
                await self._store.close_delivery(delivery)
            elif is_permanent(status):
                log.warning("webhook refused", message=delivery.message_id, status=status)
                await self._store.close_delivery(delivery)
            else:
                await self._postpone(delivery, f"status {status}")

    async def _postpone(self, delivery: WebhookDelivery, reason: str) -> None:
        wait_s = retry_delay(delivery.failed_tries + 1)
        log.warning("webhook failed", message=delivery.message_id, reason=reason, again_in_s=wait_s)
        if wait_s is None:
            await self._store.close_delivery(delivery)
        else:
            await self._store.postpone(delivery, self._clock() + wait_s)
