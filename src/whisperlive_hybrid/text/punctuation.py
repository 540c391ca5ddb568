"""Where punctuation says that a sentence ends."""

from typing import Final

CLOSING: Final = "\"'”’)]»"  # noqa: RUF001 (the apostrophe of typesetters is meant)
"""Marks that may follow the one that ends a sentence or a clause."""

_SENTENCE_ENDS: Final = tuple(".?!…。？！؟۔।")  # noqa: RUF001 (full-width marks are meant)


def ends_sentence(text: str) -> bool:
    """Whether a sentence ends with `text`, as far as its last mark tells."""
    return text.rstrip(CLOSING).endswith(_SENTENCE_ENDS)
