"""OpenAI's audio answers, to the letter: key order, language names, rounding.

Strict clients refuse a body that lacks a key, has a null where a number belongs, or names the
language by its code. Times are rounded to milliseconds.
"""

import math
import unicodedata
from collections.abc import Iterator, Sequence
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
"""Unicode calls them punctuation, but they are said aloud."""


_IMPOSSIBLE: Final = -9999.0
"""OpenAI's logarithm of a probability too small to tell; JSON has no infinity."""


def answer(
    request: AudioRequest,
    segments: Sequence[Segment],
    language: str,
    duration: float,
    unread: Sequence[tuple[float, float]] = (),
) -> Json | str:
    """The body that was asked for: a JSON object, or text for text/plain.

    `language` is the code of the spoken language, `duration` the seconds of the recording.
    `unread` are stretches of speech without text, on the recording clock.
    """
    segments = trim_long_words(segments)
    match request.response_format:
        case ResponseFormat.JSON:
            body: Json = {"text": join_text(segments)}
            if request.options.token_probabilities:
                body["logprobs"] = logprobs(segments)
            if request.tells_languages:
                body["languages"] = languages(segments, language)
            return body | {"usage": _usage(duration)}
        case ResponseFormat.VERBOSE_JSON:
            return _verbose(request, segments, language, duration, unread)
        case ResponseFormat.TEXT:
            return plain_text(segments)
        case ResponseFormat.SRT:
            return srt(segments, request.cue_style)
        case ResponseFormat.VTT:
            return vtt(segments, request.cue_style)


def logprobs(segments: Sequence[Segment]) -> list[Json]:
    """Every token of the text with the logarithm of its probability.

    The bytes are those of the token alone; where they end inside a character, `token` shows that as
    U+FFFD.
    """
    return [
        {
            "token": scored.spelling.decode(errors="replace"),
            "logprob": _logarithm(scored.probability),
            "bytes": list(scored.spelling),
        }
        for segment in segments
        for scored in segment.scored or ()
    ]


def languages(segments: Sequence[Segment], language: str) -> list[Json]:
    """Which languages were heard, each once, in order; none where nobody spoke."""
    return [
        {"code": code} for code in dict.fromkeys(each.language or language for each in segments)
    ]


def groq_mark(request_id: str) -> Json:
    """What Groq adds to the body of an answer; `@ai-sdk/groq` refuses one without it."""
    return {"x_groq": {"id": request_id}}


def error_body(error: Exception) -> Json:
    """The four-key object, and for an upload that is too large the usage that OpenAI adds."""
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
    """The shape of every error: all four keys, None where nothing applies."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def model_list(models: ModelNames, created: int) -> Json:
    """Every name that a request may use; `created` in Unix seconds."""
    return {"object": "list", "data": [model_card(name, created) for name in models]}


def model_card(name: str, created: int) -> Json:
    """One model."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "whisperlive-hybrid",
        "shutdown_date": None,
    }


def _verbose(
    request: AudioRequest,
    segments: Sequence[Segment],
    language: str,
    duration: float,
    unread: Sequence[tuple[float, float]],
) -> Json:
    task = request.options.task
    body: Json = {
        "task": task.value,
        # A translation is in English whatever was spoken.
        "language": language_name("en" if task is Task.TRANSLATE else language),
        "duration": round(duration, 3),
        "text": join_text(segments),
    }
    if Granularity.SEGMENT in request.granularities:
        body["segments"] = [_segment(i, segment) for i, segment in enumerate(segments)]
    if Granularity.WORD in request.granularities:
        body["words"] = [word for segment in segments for word in _words(segment)]
    # OpenAI's answers have no such key. It is there where nothing is unread as well: a client can
    # tell that from the answer of a server that does not look.
    body["unread"] = [{"start": round(start, 3), "end": round(end, 3)} for start, end in unread]
    return body | {"usage": _usage(duration)}


def _segment(number: int, segment: Segment) -> Json:
    start = round(segment.start, 3)
    return {
        "id": number,
        # In OpenAI's answers the 10 ms frame where the decoded window began; our windows are cut
        # in silence rather than sought, so it is the frame where the segment itself begins.
        "seek": round(start * 1000) // 10,
        "start": start,
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
        # Ours, and only where it was asked for: strict clients know the keys above.
        **({} if segment.language is None else {"language": segment.language}),
    }


def _logarithm(probability: float) -> float:
    return max(math.log(probability), _IMPOSSIBLE) if probability > 0 else _IMPOSSIBLE


def _words(segment: Segment) -> Iterator[Json]:
    """The words of a segment; what is left of bare punctuation is none."""
    for word in segment.words or ():
        if text := _bare(word.text):
            yield {"word": text, "start": round(word.start, 3), "end": round(word.end, 3)}


def _bare(word: str) -> str:
    """A word without space or punctuation at its ends; those inside belong to it."""
    spoken = [i for i, character in enumerate(word) if not _is_punctuation(character)]
    return word[spoken[0] : spoken[-1] + 1] if spoken else ""


def _is_punctuation(character: str) -> bool:
    if character in _SPOKEN_MARKS:
        return False
    return character.isspace() or unicodedata.category(character).startswith("P")


def _usage(duration: float) -> Json:
    """What OpenAI bills: begun seconds, after the rounding that every time here undergoes."""
    return {"type": "duration", "seconds": math.ceil(round(duration, 3))}
