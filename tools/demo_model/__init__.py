"""The making of the demo model: a Whisper small enough for a repository (see README.md)."""
