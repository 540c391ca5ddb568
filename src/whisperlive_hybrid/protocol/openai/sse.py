"""OpenAI's server-sent events of a transcription, as text, without a socket.

A frame is one `data:` line and a blank one. The pieces of text, put together, are the whole text
letter by letter; a stream that fails ends with the error object that would have been the body.
"""

import json
import math
from collections.abc import Sequence
from typing import Final

from whisperlive_hybrid.protocol.openai.request import AudioRequest
from whisperlive_hybrid.protocol.openai.response import Json, error_body, languages, logprobs
from whisperlive_hybrid.types import TIME_MARK_S, Segment, join_text

_POSITIONS_PER_S: Final = round(1 / TIME_MARK_S)


class EventWriter:
    """Writes the events of one transcription."""

    def __init__(self, request: AudioRequest) -> None:
        self._request = request
        self._has_begun = False
        self._held = ""  # white space that is sent only if more text follows

    def write_delta(self, segments: Sequence[Segment]) -> str:
        """Return the frame of the text that these segments add; empty if they add none."""
        text = self._held + "".join(segment.text for segment in segments)
        text = text if self._has_begun else text.lstrip()
        shown = text.rstrip()
        self._held = text[len(shown) :]
        if not shown:
            return ""
        self._has_begun = True
        return _frame({"type": "transcript.text.delta", "delta": shown} | self._logprobs(segments))

    def write_done(self, segments: Sequence[Segment], language: str, duration: float) -> str:
        """Return the last frame: the whole text and its usage.

        `language` is the code of the spoken language, `duration` the seconds of the recording.
        Usage is in tokens, the only kind that a stream has: encoder positions in, decoder tokens
        out. The tokens of a prompt are not counted.
        """
        body: Json = {"type": "transcript.text.done", "text": join_text(segments)}
        if self._request.lists_languages:
            body["languages"] = languages(segments, language)
        n_positions = math.ceil(round(duration, 3) * _POSITIONS_PER_S)
        n_tokens = sum(len(segment.tokens) for segment in segments)
        usage = {
            "type": "tokens",
            "input_tokens": n_positions,
            # Both numbers, as from OpenAI: LiteLLM's stream fails at its end without either.
            "input_token_details": {"text_tokens": 0, "audio_tokens": n_positions},
            "output_tokens": n_tokens,
            "total_tokens": n_positions + n_tokens,
        }
        return _frame(body | self._logprobs(segments) | {"usage": usage})

    def _logprobs(self, segments: Sequence[Segment]) -> Json:
        if not self._request.options.token_probabilities:
            return {}
        return {"logprobs": logprobs(segments)}


def render_error(error: Exception) -> str:
    """Return the last frame of a stream that fails; SDKs raise it as an APIError."""
    return _frame(error_body(error))


def _frame(event: Json) -> str:
    # Escaped to ASCII, so that no character can be taken for the end of the line.
    return f"data: {json.dumps(event, separators=(',', ':'))}\n\n"
