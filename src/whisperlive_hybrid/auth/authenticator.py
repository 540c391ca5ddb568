"""Who comes in: one decision for both doors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from whisperlive_hybrid.auth.caller import Caller, KeyCard
from whisperlive_hybrid.auth.keys import KeyRing, WrongKeys
from whisperlive_hybrid.auth.network import Proxies
from whisperlive_hybrid.errors import Unauthenticated

MOST_TOKENS: Final = 8
"""That one request may show; clients show one, and at most three places have room for it."""


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Asks for keys, or for nothing."""

    ring: KeyRing | None = None
    """None: whoever comes may come in."""
    proxies: Proxies = field(default_factory=Proxies)
    wrong_keys: WrongKeys | None = None
    """None: all are refused at once."""

    def stranger(self, peer: str, forwarded: Iterable[str]) -> Caller:
        """Whoever asks for what is open to all; `forwarded` are its X-Forwarded-For headers."""
        return Caller(self.proxies.client(peer, forwarded))

    def caller(self, peer: str, forwarded: Iterable[str], shown: Sequence[str]) -> Caller:
        """Whoever asks and has shown these tokens; one that is valid is enough.

        Raises `Unauthenticated`.
        """
        stranger = self.stranger(peer, forwarded)
        if self.ring is None:
            return stranger
        tokens = [token for token in shown if token]
        for token in tokens[:MOST_TOKENS]:
            card = self.ring.card(token)
            if card is not None:
                return Caller(stranger.address, card)
        if tokens:
            pause_s = self.wrong_keys.pause_s(stranger.address) if self.wrong_keys else 0.0
            raise Unauthenticated(
                "Incorrect API key provided.", code="invalid_api_key", answer_after_s=pause_s
            )
        raise Unauthenticated(
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        )

    def has_revoked(self, caller: Caller) -> bool:
        """Whether the key that somebody came in with opens nothing any more."""
        return caller.key is not None and self._card(caller.account) is None

    def owner(self, account: str) -> Caller:
        """Whoever an account stands for, with the limits that its key has now."""
        return Caller.of(account, self._card(account))

    def _card(self, account: str) -> KeyCard | None:
        return self.ring.card_of(account) if self.ring else None
