"""What the sources of models share."""

import hashlib
from pathlib import Path


class SourceFailed(Exception):
    """A source does not have the model or cannot be reached; the message is a clause."""


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
