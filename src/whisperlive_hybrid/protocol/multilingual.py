"""The fields of requests for recordings in several languages, with the names of faster-whisper."""

from typing import Final

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.forms import Form
from whisperlive_hybrid.text.language import SWITCH_THRESHOLD

SWITCH: Final = "multilingual"
THRESHOLD: Final = "language_detection_threshold"

MULTILINGUAL_FIELDS: Final = (SWITCH, THRESHOLD)


def switch_threshold(form: Form) -> float | None:
    """Return the threshold of `DecodeOptions`; raises `BadRequest` for one that has no effect."""
    wished = form.truth(SWITCH)
    threshold = form.number(THRESHOLD, SWITCH_THRESHOLD, 0, 1)
    if form.one(THRESHOLD) is not None and not wished:
        raise BadRequest(f"{THRESHOLD} needs {SWITCH}=true.", param=THRESHOLD, code="invalid_value")
    return threshold if wished else None
