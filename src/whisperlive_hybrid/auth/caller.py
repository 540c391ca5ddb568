"""Who asks, as both doors see it: an address, and the key that was shown if there was one."""

from dataclasses import dataclass

from whisperlive_hybrid.auth.network import subscriber


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may take; None where nothing is said, 0 where nothing bounds it."""

    requests_per_minute: int | None = None
    """Requests that ask for work; looking at a job or at the server's health is free."""
    audio_s_per_day: float | None = None
    """Seconds of audio that are read for it, through both doors, from midnight UTC on."""
    live_streams: int | None = None
    """Live streams that it may have open at once."""


@dataclass(frozen=True, slots=True)
class KeyCard:
    """What the server knows about a key; the secret itself is nowhere kept."""

    id: str
    """Public: it may be listed and logged."""
    name: str
    """Whose it is, in the operator's words."""
    limits: Limits = Limits()
    """Its own; where one is None, the server's limit holds."""
    is_admin: bool = False
    """Whether its holder sees the jobs and the usage of all."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request or opened a live stream."""

    address: str
    """IP address, without a port: the peer's, or what a trusted proxy says about it."""
    key: KeyCard | None = None
    """None while the server asks for no keys."""

    @staticmethod
    def of(account: str, card: KeyCard | None) -> "Caller":
        """Whoever an account stands for; `card` is that of its key, None if there is none any more.

        An address is that of its network, which is as much as an account remembers.
        """
        kind, _, name = account.partition(":")
        if kind == "key":
            return Caller("", card or KeyCard(name, ""))
        return Caller(name)

    @property
    def account(self) -> str:
        """On whom its work is booked: its key, or else its address, the /64 of it for IPv6."""
        return f"key:{self.key.id}" if self.key else f"address:{subscriber(self.address)}"

    @property
    def sees_only(self) -> str | None:
        """The account to whose work its view is limited; None for one that may see all.

        Addresses keep nobody apart, many have one and the same: only keys do.
        """
        return self.account if self.key and not self.key.is_admin else None

    def may_see(self, account: str) -> bool:
        """Whether work that is booked on an account is its business."""
        return self.sees_only in {None, account}
