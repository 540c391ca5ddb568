"""OpenAI's server-sent events of a transcription, as text: what a stream says, without a socket.

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


class EventWriter:
    """Writes the events of one transcription."""

    def __init__(self, request: AudioRequest) -> None:
        self._request = request
        self._has_begun = False
        self._held = ""  # white space that is shown only if more text follows

    def delta(self, segments: Sequence[Segment]) -> str:
        """The frame of the text that these segments add; empty if they add none."""
        text = self._held + "".join(segment.text for segment in segments)
        text = text if self._has_begun else text.lstrip()
        shown = text.rstrip()
        self._held = text[len(shown) :]
        if not shown:
            return ""
        self._has_begun = True
        return _frame({"type": "transcript.text.delta", "delta": shown} | self._scores(segments))

    def done(self, segments: Sequence[Segment], language: str, duration: float) -> str:
        """The last frame: the whole text and its usage.

        `language` is the code of the spoken language, `duration` the seconds of the recording.
        """
        body: Json = {"type": "transcript.text.done", "text": join_text(segments)}
        if self._request.tells_languages:
            body["languages"] = languages(segments, language)
        body |= self._scores(segments) | {"usage": _tokens(segments, duration)}
        return _frame(body)

    def _scores(self, segments: Sequence[Segment]) -> Json:
        if not self._request.options.token_probabilities:
            return {}
        return {"logprobs": logprobs(segments)}


def failed(error: Exception) -> str:
    """The last frame of a stream that could not be finished; SDKs raise it as an APIError."""
    return _frame(error_body(error))


def _frame(event: Json) -> str:
    # Escaped to ASCII: no character in it can be taken for the end of the line.
    return f"data: {json.dumps(event, separators=(',', ':'))}\n\n"


_POSITIONS_PER_S: Final = round(1 / TIME_MARK_S)


def _tokens(segments: Sequence[Segment], duration: float) -> Json:
    """Usage in tokens, the only kind that a stream has: encoder positions in, decoder tokens out.

    The tokens of a prompt are not counted.
    """
    heard = math.ceil(round(duration, 3) * _POSITIONS_PER_S)
    written = sum(len(segment.tokens) for segment in segments)
    return {
        "type": "tokens",
        "input_tokens": heard,
        # Both numbers, as from OpenAI: LiteLLM's stream fails at its end where one is missing.
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": written,
        "total_tokens": heard + written,
    }
