"""Webhooks, signed as Standard Webhooks has it (standardwebhooks.com, version 1.0.0).

The receiver checks that a message came from somebody with the secret, is not older than it likes,
and was not seen before: the id of a message is the same at every try.
"""

import base64
import hashlib
import hmac
from typing import Final

from whisperlive_hybrid.errors import BadRequest

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
