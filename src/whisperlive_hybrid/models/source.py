"""What the sources of models share."""


class SourceFailed(Exception):
    """A source does not have the model or cannot be reached; the message is a clause."""
