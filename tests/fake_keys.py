"""Keys for tests, in memory: the same seam as the file's."""

from dataclasses import dataclass, field
from typing import Final

from whisperlive_hybrid.auth import keys as tokens
from whisperlive_hybrid.auth.caller import ApiKey
from whisperlive_hybrid.auth.keys import StoredKey


@dataclass
class FakeKeys:
    """Keys by their ids; a change is seen at once."""

    known: dict[str, StoredKey] = field(default_factory=dict)
    changes: int = 0
    looks: int = 0
    """How often the keys themselves were read."""

    def made(self, number: int, *, is_admin: bool = False) -> str:
        """Make a key; its token."""
        key_id = f"{number:012x}"
        token = tokens.format_token(key_id, f"{number:064x}")
        card = ApiKey(key_id, f"key {number}", is_admin=is_admin)
        self.known[key_id] = StoredKey(card, tokens.parse_token(token).digest)
        self.changes += 1
        return token

    def revoke(self, number: int) -> None:
        """End a key."""
        del self.known[f"{number:012x}"]
        self.changes += 1

    def version(self) -> int:
        """Another number after every change."""
        return self.changes

    def load_valid(self) -> list[StoredKey]:
        """The keys that open something."""
        self.looks += 1
        return list(self.known.values())


NO_KEYS: Final = FakeKeys()


def bearer(token: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"authorization": f"Bearer {token}"}
