"""The caller of a request or live stream: an address and, if keys are required, an API key."""

from dataclasses import dataclass

from whisperlive_hybrid.auth.network import subscriber


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one caller; None where none is set, 0 for unlimited."""

    requests_per_minute: int | None = None
    """Requests for work; reading the state of a job or of the server is not counted."""
    audio_s_per_day: float | None = None
    """Seconds of audio transcribed per UTC day, files and live streams together."""
    live_streams: int | None = None
    """Live streams open at once."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The public part of an API key; the secret is not stored anywhere."""

    id: str
    """May be listed and logged."""
    name: str
    """Chosen by the operator."""
    limits: Limits = Limits()
    """Limits of this key; where one is None, the server's limit applies."""
    is_admin: bool = False
    """The key gives access to the jobs and the usage of all callers."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The client that sent a request or opened a live stream."""

    address: str
    """IP address without a port: the peer's, or the one that a trusted proxy reports."""
    key: ApiKey | None = None
    """None if the server requires no keys."""

    @staticmethod
    def from_account(account: str, key: ApiKey | None) -> "Caller":
        """Return the caller behind an account; `key` is None if the account's key was revoked.

        An address is that of its network: accounts store no more.
        """
        kind, _, name = account.partition(":")
        if kind == "key":
            # Without a valid key too: jobs of a revoked key still run and belong to its account.
            return Caller("", key or ApiKey(name, ""))
        return Caller(name)

    @property
    def account(self) -> str:
        """The account that usage is recorded on: the key, else the address (IPv6: its /64)."""
        return f"key:{self.key.id}" if self.key else f"address:{subscriber(self.address)}"

    @property
    def sees_only(self) -> str | None:
        """The account whose jobs and usage this caller may see; None for all.

        Without keys everything is visible to all: many clients share one address, so an address
        does not separate them.
        """
        return self.account if self.key and not self.key.is_admin else None

    def may_see(self, account: str) -> bool:
        """Return True if this caller may see the jobs and usage of `account`."""
        return self.sees_only in {None, account}
