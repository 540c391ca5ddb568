"""API keys in memory, reloaded after every change, and the rate limit on wrong ones."""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from whisperlive_hybrid.auth.caller import ApiKey
from whisperlive_hybrid.auth.network import subscriber
from whisperlive_hybrid.auth.rate_limits import RateLimiter
from whisperlive_hybrid.errors import BadRequest

ID_BYTES: Final = 6
# 256 random bits cannot be guessed, so a fast hash is enough. A slow one (scrypt) would make every
# right key, and a flood of wrong ones, expensive for the server.
SECRET_BYTES: Final = 32

MAX_TOKEN_LENGTH: Final = 512
"""Characters. Longer tokens are not hashed: no key is longer, and hashing costs CPU time."""

_TOKEN: Final = re.compile(rf"wlk_([0-9a-f]{{{2 * ID_BYTES}}})_[0-9a-f]{{{2 * SECRET_BYTES}}}")


@dataclass(frozen=True, slots=True)
class Token:
    """A token as a client sent it."""

    key_id: str
    """Id of the key that it claims to be; "" if it has not the form of our tokens."""
    digest: bytes
    """SHA-256 of the whole text."""


def format_token(key_id: str, secret: str) -> str:
    """Return the text of a token; both parts are hexadecimal."""
    return f"wlk_{key_id}_{secret}"


def check_sendable(token: str, origin: str) -> None:
    """Raise `BadRequest` if `token` cannot be sent in a header; `origin` names its source."""
    if not 0 < len(token) <= MAX_TOKEN_LENGTH or not all("!" <= char <= "~" for char in token):
        raise BadRequest(
            f"{origin} must be 1 to {MAX_TOKEN_LENGTH} printable ASCII characters without spaces."
        )


def parse_token(text: str) -> Token:
    """Parse what a client sent, valid or not, at the same cost."""
    text = text if len(text) <= MAX_TOKEN_LENGTH else ""
    match = _TOKEN.fullmatch(text)
    # "backslashreplace": a query string can yield lone surrogates, which UTF-8 cannot encode.
    digest = hashlib.sha256(text.encode(errors="backslashreplace")).digest()
    return Token(match[1] if match else "", digest)


ENVIRONMENT: Final = ApiKey("environment", "environment", is_admin=True)
"""The key of WHISPERLIVE_API_KEY, for containers in which no command can be run."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key and the digest of its token; the token itself is not stored."""

    key: ApiKey
    digest: bytes
    """SHA-256."""


class KeySource(Protocol):
    """Storage of keys; both methods are fast enough for an event loop."""

    def version(self) -> int:
        """Return a number that differs after every change."""

    def load_valid(self) -> Iterable[StoredKey]:
        """Return the keys that are not revoked."""


_NO_KEY: Final = StoredKey(ApiKey("", ""), b"\0" * 32)
"""Compared with tokens of unknown ids: no text is known to have this digest."""


class KeyStore:
    """Finds the key of a token, in constant time whatever is wrong with the token."""

    def __init__(self, source: KeySource, environment: str | None = None) -> None:
        """`environment` is the token of one more key, an admin's; raises `BadRequest`."""
        self._source = source
        self._version: int | None = None
        self._keys: dict[str, StoredKey] = {}
        self._environment = _NO_KEY
        if environment:
            check_sendable(environment, "WHISPERLIVE_API_KEY")
            self._environment = StoredKey(ENVIRONMENT, parse_token(environment).digest)

    @property
    def is_empty(self) -> bool:
        """No token is valid."""
        self._refresh()
        return not self._keys and self._environment is _NO_KEY

    def find(self, text: str) -> ApiKey | None:
        """Return the key whose token `text` is; None for a wrong one."""
        self._refresh()
        token = parse_token(text)
        stored = self._keys.get(token.key_id, _NO_KEY)
        # Always both comparisons, so that the response time reveals nothing about the token.
        is_stored = hmac.compare_digest(token.digest, stored.digest)
        is_environment = hmac.compare_digest(token.digest, self._environment.digest)
        if is_environment:
            return self._environment.key
        return stored.key if is_stored else None

    def find_account(self, account: str) -> ApiKey | None:
        """Return the valid key of an account (`Caller.account`); None if there is none."""
        self._refresh()
        kind, _, key_id = account.partition(":")
        if kind != "key":
            return None
        if key_id == self._environment.key.id:
            return self._environment.key
        return self._keys[key_id].key if key_id in self._keys else None

    def _refresh(self) -> None:
        # Checked at every request, so that a revoked key is rejected at once.
        version = self._source.version()
        if version != self._version:
            self._keys = {stored.key.id: stored for stored in self._source.load_valid()}
            self._version = version


REFUSAL_DELAY_S: Final = 1.0
"""Delay of a rate-limited rejection: two thousand times the cost of the rejection itself, and
negligible for a person who has mistyped a key."""


class WrongKeyLimiter:
    """A rate limit on wrong keys, by client network.

    Right keys are not limited: clients that share an address with an attacker, as behind a proxy,
    are not affected.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        """`per_minute` wrong keys are rejected without a delay; the clock is in seconds."""
        self._per_minute = per_minute
        self._clock = clock
        self._limiter = RateLimiter()

    def record(self, address: str) -> float:
        """Record a wrong key from `address`; return the delay of its rejection in seconds."""
        # By address, not by key id: ids are public, so any client could delay the owner of one.
        wait_s = self._limiter.take(subscriber(address), self._per_minute, self._clock())
        return REFUSAL_DELAY_S if wait_s else 0.0
