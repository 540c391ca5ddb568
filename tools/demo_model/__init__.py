"""How the demo model was made: a Whisper small enough to live in a repository (see README.md)."""
