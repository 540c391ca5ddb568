"""How a key is written, and what is kept of it.

A token is `wlk_<id>_<secret>`. The id is public and finds the key; the secret is 256 random bits.
Guessing those is hopeless whatever a guess costs, so one SHA-256 is enough: slow hashes make up
for passwords that people choose, and would let strangers spend our CPU.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from whisperlive_hybrid.errors import BadRequest

ID_BYTES: Final = 6
SECRET_BYTES: Final = 32

LONGEST_TOKEN: Final = 512
"""Characters that are looked at; no key is longer, so what is was none."""

_FORM: Final = re.compile(rf"wlk_([0-9a-f]{{{2 * ID_BYTES}}})_[0-9a-f]{{{2 * SECRET_BYTES}}}")


@dataclass(frozen=True, slots=True)
class Token:
    """What was shown as a key."""

    key_id: str
    """That of the key it claims to be; "" where it has not our form."""
    digest: bytes
    """SHA-256 of all of it."""


def token_of(key_id: str, secret: str) -> str:
    """The text that is given to the holder of a key; both parts in hexadecimal."""
    return f"wlk_{key_id}_{secret}"


def check_sendable(token: str, origin: str) -> None:
    """Raise `BadRequest` for what cannot be sent in a header as it is; `origin` is who gave it."""
    if not 0 < len(token) <= LONGEST_TOKEN or not all("!" <= each <= "~" for each in token):
        raise BadRequest(
            f"{origin} must be 1 to {LONGEST_TOKEN} printable ASCII characters without spaces."
        )


def read(shown: str) -> Token:
    """Read what somebody has sent, whatever it is, at the same cost."""
    looked_at = shown if len(shown) <= LONGEST_TOKEN else ""
    form = _FORM.fullmatch(looked_at)
    # "backslashreplace": halves of characters can come out of a query, and have no bytes.
    digest = hashlib.sha256(looked_at.encode(errors="backslashreplace")).digest()
    return Token(form[1] if form else "", digest)
