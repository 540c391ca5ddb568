"""API keys in memory, with the interface of the key file."""

from dataclasses import dataclass, field
from typing import Final

from whisperlive_hybrid.auth import keys as tokens
from whisperlive_hybrid.auth.caller import ApiKey
from whisperlive_hybrid.auth.keys import StoredKey


@dataclass
class FakeKeys:
    """Keys by id; changes take effect at once."""

    known: dict[str, StoredKey] = field(default_factory=dict)
    changes: int = 0
    looks: int = 0
    """Number of times that the keys were read."""

    def made(self, number: int, *, is_admin: bool = False) -> str:
        """Create a key and return its token."""
        key_id = f"{number:012x}"
        token = tokens.format_token(key_id, f"{number:064x}")
        card = ApiKey(key_id, f"key {number}", is_admin=is_admin)
        self.known[key_id] = StoredKey(card, tokens.parse_token(token).digest)
        self.changes += 1
        return token

    def revoke(self, number: int) -> None:
        """Revoke a key."""
        del self.known[f"{number:012x}"]
        self.changes += 1

    def version(self) -> int:
        """Return a number that differs after every change."""
        return self.changes

    def load_valid(self) -> list[StoredKey]:
        """Return the keys that are not revoked."""
        self.looks += 1
        return list(self.known.values())


NO_KEYS: Final = FakeKeys()


def bearer(token: str) -> dict[str, str]:
    """Return the header with a key."""
    return {"authorization": f"Bearer {token}"}
