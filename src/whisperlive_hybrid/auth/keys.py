"""The keys that open this server: in memory, and never older than the last change."""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from whisperlive_hybrid.auth.caller import KeyCard
from whisperlive_hybrid.auth.network import subscriber
from whisperlive_hybrid.auth.rate_limits import RequestBuckets
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


ENVIRONMENT: Final = KeyCard("environment", "environment", is_admin=True)
"""The key of WHISPERLIVE_API_KEY, for containers in which nobody can run a command."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key as far as it is kept."""

    card: KeyCard
    digest: bytes
    """SHA-256 of its token."""


class KeySource(Protocol):
    """Where keys are kept; both methods are quick enough for an event loop."""

    def version(self) -> int:
        """Another number after every change."""

    def valid(self) -> Iterable[KnownKey]:
        """The keys that open something."""


_NOBODY: Final = KnownKey(KeyCard("", ""), b"\0" * 32)
"""What a token is held against whose id nobody has: no text is known to have this digest."""


class KeyRing:
    """Says whose a token is. Whatever was wrong with it, the answer costs the same."""

    def __init__(self, source: KeySource, environment: str | None = None) -> None:
        """`environment` is the token of a key that is not in `source`; raises `BadRequest`."""
        self._source = source
        self._version: int | None = None
        self._keys: dict[str, KnownKey] = {}
        self._environment = _of_environment(environment) if environment else _NOBODY

    @property
    def is_empty(self) -> bool:
        """Whether no token opens anything."""
        self._refresh()
        return not self._keys and self._environment is _NOBODY

    def card(self, shown: str) -> KeyCard | None:
        """The key whose token this is, if it is one."""
        self._refresh()
        token = read(shown)
        key = self._keys.get(token.key_id, _NOBODY)
        # Two comparisons for everybody: how long it takes tells nothing.
        is_kept = hmac.compare_digest(token.digest, key.digest)
        is_environment = hmac.compare_digest(token.digest, self._environment.digest)
        if is_environment:
            return self._environment.card
        return key.card if is_kept else None

    def card_of(self, account: str) -> KeyCard | None:
        """The key on which an account books (`Caller.account`), while it is valid."""
        self._refresh()
        kind, _, key_id = account.partition(":")
        if kind != "key":
            return None
        if key_id == self._environment.card.id:
            return self._environment.card
        return self._keys[key_id].card if key_id in self._keys else None

    def _refresh(self) -> None:
        version = self._source.version()
        if version != self._version:
            self._keys = {key.card.id: key for key in self._source.valid()}
            self._version = version


def _of_environment(token: str) -> KnownKey:
    """Raises `BadRequest` for what cannot be sent in a header as it is."""
    check_sendable(token, "WHISPERLIVE_API_KEY")
    return KnownKey(ENVIRONMENT, read(token).digest)


PAUSE_S: Final = 1.0
"""Before a refusal that is held back: two thousand times what it costs, and nothing to a person who
has mistyped a key."""


class WrongKeys:
    """How often each address has shown one lately; right keys are no matter of it.

    So whoever shares an address with somebody who guesses, as all behind a proxy may, feels nothing
    of it.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        """`per_minute` are refused at once, as a bucket counts them; the clock is in seconds."""
        self._per_minute = per_minute
        self._clock = clock
        self._buckets = RequestBuckets()

    def pause_s(self, address: str) -> float:
        """Note that an address has shown one; return for how many seconds to hold the refusal."""
        wait = self._buckets.take(subscriber(address), self._per_minute, self._clock())
        return PAUSE_S if wait else 0.0
