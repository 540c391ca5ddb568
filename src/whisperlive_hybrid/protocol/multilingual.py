"""The fields of requests for recordings in several languages, with the names of faster-whisper."""

from typing import Final

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.forms import Form
from whisperlive_hybrid.text.language import SWITCH_THRESHOLD

MULTILINGUAL_FIELD: Final = "multilingual"
THRESHOLD_FIELD: Final = "language_detection_threshold"

MULTILINGUAL_FIELDS: Final = (MULTILINGUAL_FIELD, THRESHOLD_FIELD)


def parse_switch_threshold(form: Form) -> float | None:
    """Return `DecodeOptions.switch_threshold`; raise `BadRequest` for one without effect."""
    is_multilingual = form.boolean(MULTILINGUAL_FIELD)
    threshold = form.number(THRESHOLD_FIELD, SWITCH_THRESHOLD, 0, 1)
    if form.one(THRESHOLD_FIELD) is not None and not is_multilingual:
        raise BadRequest(
            f"{THRESHOLD_FIELD} needs {MULTILINGUAL_FIELD}=true.",
            param=THRESHOLD_FIELD,
            code="invalid_value",
        )
    return threshold if is_multilingual else None
