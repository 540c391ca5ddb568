"""Authentication of requests and live streams: API keys, trusted proxies, delayed rejections."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from whisperlive_hybrid.auth.caller import ApiKey, Caller
from whisperlive_hybrid.auth.keys import KeyStore, WrongKeyLimiter
from whisperlive_hybrid.auth.network import TrustedProxies
from whisperlive_hybrid.errors import Unauthenticated

MAX_TOKENS: Final = 8
"""Tokens that are checked per request: clients send one, and at most three places have room for
it. Without a bound, one request could try many keys."""


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Decides who the caller of a request is, for the HTTP server and the live server alike."""

    keys: KeyStore | None = None
    """None: no key is required."""
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    wrong_keys: WrongKeyLimiter | None = None
    """None: wrong keys are rejected without a delay."""

    def anonymous(self, peer: str, forwarded: Iterable[str]) -> Caller:
        """Return the caller of an endpoint that requires no key.

        `forwarded` are the X-Forwarded-For headers of the request.
        """
        return Caller(self.proxies.client_address(peer, forwarded))

    def authenticate(self, peer: str, forwarded: Iterable[str], tokens: Sequence[str]) -> Caller:
        """Return the caller who sent `tokens`; one valid token is enough.

        Raises `Unauthenticated`.
        """
        caller = self.anonymous(peer, forwarded)
        if self.keys is None:
            return caller
        tokens = [token for token in tokens if token]
        for token in tokens[:MAX_TOKENS]:
            key = self.keys.find(token)
            if key is not None:
                return Caller(caller.address, key)
        if tokens:
            # A request without a key is not recorded: it guesses nothing, and probes send many.
            delay_s = self.wrong_keys.record(caller.address) if self.wrong_keys else 0.0
            raise Unauthenticated(
                "Incorrect API key provided.", code="invalid_api_key", answer_after_s=delay_s
            )
        raise Unauthenticated(
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        )

    def is_revoked(self, caller: Caller) -> bool:
        """Return True if the key with which `caller` was authenticated is no longer valid."""
        return caller.key is not None and self._find_key(caller.account) is None

    def caller_for(self, account: str) -> Caller:
        """Return the caller behind an account, with the current limits of its key."""
        return Caller.from_account(account, self._find_key(account))

    def _find_key(self, account: str) -> ApiKey | None:
        return self.keys.find_account(account) if self.keys else None
