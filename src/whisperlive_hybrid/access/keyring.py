"""The keys that open this server: in memory, and never older than the last change."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from whisperlive_hybrid.access.caller import KeyCard
from whisperlive_hybrid.access.tokens import check_sendable, read

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
