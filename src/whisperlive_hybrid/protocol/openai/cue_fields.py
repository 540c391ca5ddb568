"""The fields that cut srt and vtt into cues: openai/whisper's options."""

from typing import Final

from whisperlive_hybrid.errors import BadRequest, Unsupported
from whisperlive_hybrid.protocol.forms import Form
from whisperlive_hybrid.text.cues import CueStyle
from whisperlive_hybrid.types import Task

LAYOUT_FIELDS: Final = ("max_line_width", "max_line_count", "max_words_per_line")
HIGHLIGHT_FIELD: Final = "highlight_words"

MAX_CUE_VALUE: Final = 1000
"""Of each field; a greater number would limit nothing."""


def cue_params(style: CueStyle) -> dict[str, str]:
    """Return a style as fields; the inverse of `cue_style`."""
    numbers = (style.max_line_width, style.max_line_count, style.max_words_per_line)
    given = {
        name: str(number)
        for name, number in zip(LAYOUT_FIELDS, numbers, strict=True)
        if number is not None
    }
    return given | ({HIGHLIGHT_FIELD: "true"} if style.highlight_words else {})


def cue_style(form: Form, answer_format: str, task: Task, *, format_field: str) -> CueStyle:
    """Parse the cue fields that `form` has; `answer_format` is the value of `format_field`.

    Raise `BadRequest` for a field that needs another field or another format, and `Unsupported` for
    highlighted words of a translation, which have no time in the audio.
    """
    names = (*LAYOUT_FIELDS, HIGHLIGHT_FIELD)
    # Translations have no field for highlighted words.
    given = [name for name in names if name in form.names.single and form.one(name)]
    width, count, words = (form.integer(name, 1, MAX_CUE_VALUE) for name in LAYOUT_FIELDS)
    has_highlight = HIGHLIGHT_FIELD in given and form.boolean(HIGHLIGHT_FIELD)
    if given and answer_format not in ("srt", "vtt"):
        raise BadRequest(
            f"{given[0]} needs {format_field} 'srt' or 'vtt', not {answer_format!r}.",
            param=given[0],
            code="invalid_value",
        )
    if count is not None and width is None:
        raise BadRequest(
            "max_line_count needs max_line_width.", param="max_line_count", code="invalid_value"
        )
    if has_highlight and task is Task.TRANSLATE:
        raise Unsupported(
            "highlight_words is not supported for translations: their words are not in the audio.",
            param=HIGHLIGHT_FIELD,
        )
    return CueStyle(width, count, words, has_highlight)
