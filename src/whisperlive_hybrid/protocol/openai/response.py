"""OpenAI's audio responses, to the letter: key order, language names, rounding.

Strict clients refuse a body that lacks a key, has a null where a number belongs, or names the
language by its code. Times are rounded to milliseconds.
"""

import math
import unicodedata
from collections.abc import Sequence
from typing import Final

from whisperlive_hybrid.errors import TooLarge
from whisperlive_hybrid.languages import language_name
from whisperlive_hybrid.protocol.errors import code_of, map_error, message_of, param_of
from whisperlive_hybrid.protocol.model_names import ModelNames
from whisperlive_hybrid.protocol.openai.request import AudioRequest, Granularity, ResponseFormat
from whisperlive_hybrid.text.formats import plain_text, srt, vtt
from whisperlive_hybrid.text.words import trim_long_words
from whisperlive_hybrid.types import Segment, Task, join_text

Json = dict[str, object]

_SPOKEN_MARKS: Final = "%‰&@#*§"
"""Punctuation to Unicode, but spoken as words."""

_MIN_LOGPROB: Final = -9999.0
"""OpenAI's logarithm of a vanishing probability; JSON has no infinity."""


def render_transcript(
    request: AudioRequest,
    segments: Sequence[Segment],
    language: str,
    duration: float,
    unread: Sequence[tuple[float, float]] = (),
) -> Json | str:
    """Return the body in the requested format: a JSON object, or text for text/plain.

    `language` is the code of the spoken language, `duration` the seconds of the recording.
    `unread` are stretches of speech without text, on the recording clock.
    """
    segments = trim_long_words(segments)
    match request.response_format:
        case ResponseFormat.JSON:
            body: Json = {"text": join_text(segments)}
            if request.options.token_probabilities:
                body["logprobs"] = logprobs(segments)
            if request.lists_languages:
                body["languages"] = languages(segments, language)
            return body | {"usage": _usage(duration)}
        case ResponseFormat.VERBOSE_JSON:
            return _verbose_json(request, segments, language, duration, unread)
        case ResponseFormat.TEXT:
            return plain_text(segments)
        case ResponseFormat.SRT:
            return srt(segments, request.cue_style)
        case ResponseFormat.VTT:
            return vtt(segments, request.cue_style)


def logprobs(segments: Sequence[Segment]) -> list[Json]:
    """Return every token of the text with the logarithm of its probability.

    The bytes are those of the token alone; where they end inside a character, `token` shows that as
    U+FFFD.
    """
    return [
        {
            "token": token.spelling.decode(errors="replace"),
            "logprob": (
                max(math.log(token.probability), _MIN_LOGPROB)
                if token.probability > 0
                else _MIN_LOGPROB
            ),
            "bytes": list(token.spelling),
        }
        for segment in segments
        for token in segment.scored or ()
    ]


def languages(segments: Sequence[Segment], language: str) -> list[Json]:
    """Return each spoken language once, in order; none for a recording without speech."""
    codes = dict.fromkeys(segment.language or language for segment in segments)
    return [{"code": code} for code in codes]


def groq_mark(request_id: str) -> Json:
    """Return Groq's addition to the body; `@ai-sdk/groq` refuses an answer without it."""
    return {"x_groq": {"id": request_id}}


def error_body(error: Exception) -> Json:
    """Return the error object, and for an upload that is too large the usage that OpenAI adds."""
    body = error_object(
        message_of(error),
        type_=map_error(error).type,
        param=param_of(error),
        code=code_of(error),
    )
    return body | {"usage": _usage(0.0)} if isinstance(error, TooLarge) else body


def error_object(
    message: str,
    *,
    type_: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> Json:
    """Return the body of an error: always all four keys, None where nothing applies."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def model_list(models: ModelNames, created: int) -> Json:
    """Return every name that a request may use; `created` in Unix seconds."""
    return {"object": "list", "data": [model_card(name, created) for name in models]}


def model_card(name: str, created: int) -> Json:
    """Return OpenAI's description of one model; `created` in Unix seconds."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "whisperlive-hybrid",
        "shutdown_date": None,
    }


def _verbose_json(
    request: AudioRequest,
    segments: Sequence[Segment],
    language: str,
    duration: float,
    unread: Sequence[tuple[float, float]],
) -> Json:
    task = request.options.task
    body: Json = {
        "task": task.value,
        # A translation is in English, whatever the spoken language.
        "language": language_name("en" if task is Task.TRANSLATE else language),
        "duration": round(duration, 3),
        "text": join_text(segments),
    }
    if Granularity.SEGMENT in request.granularities:
        body["segments"] = [_segment(i, segment) for i, segment in enumerate(segments)]
    if Granularity.WORD in request.granularities:
        body["words"] = [
            {"word": text, "start": round(word.start, 3), "end": round(word.end, 3)}
            for segment in segments
            for word in segment.words or ()
            if (text := _strip_punctuation(word.text))  # bare punctuation is no word
        ]
    # OpenAI's answers have no such key. An empty list distinguishes "nothing unread" from the
    # answer of a server that does not check.
    body["unread"] = [{"start": round(start, 3), "end": round(end, 3)} for start, end in unread]
    return body | {"usage": _usage(duration)}


def _segment(number: int, segment: Segment) -> Json:
    start = round(segment.start, 3)
    return {
        "id": number,
        # In OpenAI's answers the 10 ms frame where the decoded window began. Windows are cut in
        # silence here rather than sought, so it is the frame where the segment itself begins.
        "seek": round(start * 1000) // 10,
        "start": start,
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
        # Not OpenAI's, and only on request: strict clients accept the keys above alone.
        **({} if segment.language is None else {"language": segment.language}),
    }


def _strip_punctuation(word: str) -> str:
    """Return a word without space or punctuation at its ends; inside they belong to it."""
    spoken = [
        i
        for i, character in enumerate(word)
        if character in _SPOKEN_MARKS
        or not (character.isspace() or unicodedata.category(character).startswith("P"))
    ]
    return word[spoken[0] : spoken[-1] + 1] if spoken else ""


def _usage(duration: float) -> Json:
    """Return the billed seconds: begun ones, after the rounding of every time in the body."""
    return {"type": "duration", "seconds": math.ceil(round(duration, 3))}
