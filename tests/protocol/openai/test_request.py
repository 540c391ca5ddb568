import re
from dataclasses import replace

import pytest

from whisperlive_hybrid.errors import BadRequest, NotFound, Unsupported
from whisperlive_hybrid.protocol.model_names import HOSTED, ModelNames
from whisperlive_hybrid.protocol.openai.request import (
    AudioRequest,
    Granularity,
    ResponseFormat,
    measure_words,
    parse_transcription,
    parse_translation,
)
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.text.cues import CueStyle
from whisperlive_hybrid.text.language import SWITCH_THRESHOLD
from whisperlive_hybrid.types import TEMPERATURES, DecodeOptions, Task

MODELS = ModelNames("tiny", ("small",))


def ask(*fields: tuple[str, str]) -> AudioRequest:
    """Read the fields of a transcription where "tiny" is the first model, and "small" another."""
    return parse_transcription(fields, MODELS)


def test_nothing_asked_is_the_default() -> None:
    """OpenAI's defaults: json, segments, the language detected, Whisper's ladder."""
    assert ask() == AudioRequest(DecodeOptions(), VadOptions(), ResponseFormat.JSON, model="tiny")


def test_every_wish_reaches_the_options() -> None:
    """No field is read and dropped."""
    asked = ask(
        ("model", "whisper-1"),
        ("language", "german"),
        ("prompt", "Guten Tag."),
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
        ("hotwords", "Zürich"),
        ("keywords[]", "Basel"),
        ("stream", "false"),
        ("vad_filter", "false"),
        ("audio_track", "2"),
    )
    assert asked.audio_track == 2
    assert asked.vad == VadOptions(enabled=False)
    assert asked.options == DecodeOptions(
        language="de", prompt="Guten Tag.", hotwords="Zürich, Basel", words=True
    )
    assert asked.response_format is ResponseFormat.VERBOSE_JSON
    assert asked.granularities == {Granularity.WORD, Granularity.SEGMENT}


@pytest.mark.parametrize("name", [*HOSTED, "tiny"])
def test_hosted_names_stand_for_the_loaded_model(name: str) -> None:
    """Clients written for OpenAI need no new configuration."""
    assert ask(("model", name)) == ask()


def test_another_model_may_be_named() -> None:
    """Those that the operator has listed, and no other."""
    assert ask(("model", "small")).model == "small"
    with pytest.raises(NotFound, match=r"'large-v3' does not exist.*'tiny', 'small'") as e:
        ask(("model", "large-v3"))
    assert e.value.code == "model_not_found"


def test_a_model_that_tells_speakers_apart_is_not_here() -> None:
    """An alias for it would promise what is not done."""
    with pytest.raises(NotFound):
        ask(("model", "gpt-4o-transcribe-diarize"))


@pytest.mark.parametrize("written", ["auto", "Auto", "AUTO"])
def test_a_language_may_be_left_open_by_name(written: str) -> None:
    """The same request as without the field."""
    assert ask(("language", written)) == ask()
    among = ask(("language", written), ("languages[]", "de"), ("languages[]", "en"))
    assert (among.options.language, among.options.candidates) == (None, ("de", "en"))


def test_auto_among_candidates_admits_every_language() -> None:
    """The answer still says which one it was, and the entries beside it are checked."""
    asked = ask(("languages[]", "Auto"), ("languages[]", "de"))
    assert (asked.options.language, asked.options.candidates) == (None, ())
    assert asked.lists_languages
    with pytest.raises(BadRequest, match="'klingon'"):
        ask(("languages[]", "auto"), ("languages[]", "klingon"))


@pytest.mark.parametrize(
    ("written", "ladder"),
    [("0", TEMPERATURES), ("0.5", (0.5, 0.6, 0.8, 1.0)), ("0.8", (0.8, 1.0)), ("1", (1.0,))],
)
def test_a_temperature_begins_the_ladder(written: str, ladder: tuple[float, ...]) -> None:
    """The text is tried at the temperature asked for, then hotter, never colder."""
    assert ask(("temperature", written)).options.temperatures == ladder


def test_words_are_measured_only_when_asked_for() -> None:
    """Alignment costs time; with `word` alone there are no segments in the answer."""
    verbose = ("response_format", "verbose_json")
    assert not ask(verbose).options.words
    only_words = ask(verbose, ("timestamp_granularities", "word"))
    assert only_words.options.words
    assert only_words.granularities == {Granularity.WORD}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("response_format", "diarized_json"),
        ("known_speaker_names[]", "Ann"),
        ("known_speaker_references[]", "data:audio/wav;base64,AAAA"),
    ],
)
def test_what_is_not_there_yet_is_refused(field: str, value: str) -> None:
    """A valid value that cannot be honoured is refused under the name of its field."""
    with pytest.raises(Unsupported, match="not supported") as e:
        ask((field, value))
    assert e.value.param == field.removesuffix("[]")


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("response_format", "docx", "json, text, srt, verbose_json, vtt"),
        ("include[]", "tokens", "logprobs"),
        ("temperature", "2", "from 0 to 1"),
        ("stream", "maybe", "true, false"),
        ("audio_track", "-1", "from 0 to 15"),
        ("audio_track", "16", "from 0 to 15"),
        ("audio_track", "first", "from 0 to 15"),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(field: str, value: str, allowed: str) -> None:
    """The message names the field and the allowed set, and repeats no endless value."""
    with pytest.raises(BadRequest, match=allowed) as e:
        ask((field, value))
    assert e.value.code == "invalid_value"
    assert (e.value.param or "").startswith(field.removesuffix("[]").split("[")[0])
    assert len(e.value.message) < 300


def test_a_stream_is_text() -> None:
    """Times have no place in its events: formats that have them are answered as a whole."""
    assert not ask(("stream", "false")).stream
    assert ask(("stream", "true")).stream
    assert ask(("stream", "true"), ("response_format", "text"), ("model", "whisper-1")).stream
    for timed in ("srt", "vtt", "verbose_json"):
        whole = ask(("response_format", timed))
        assert ask(("stream", "true"), ("response_format", timed)) == whole


def test_cues_are_cut_as_asked_for() -> None:
    """By the names of openai/whisper; highlighting cannot do without measured words."""
    style = {"max_line_width": "30", "max_line_count": "1", "max_words_per_line": "4"}
    request = ask(("response_format", "srt"), ("highlight_words", "true"), *style.items())
    assert request.cue_style == CueStyle(30, 1, 4, highlight_words=True)
    assert request.options.words
    plain = ask(("response_format", "vtt"), ("highlight_words", "false"))
    assert plain.cue_style == CueStyle()
    assert not plain.options.words
    translated = parse_translation([("response_format", "vtt"), ("max_line_width", "30")], MODELS)
    assert translated.cue_style == CueStyle(30)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"max_line_width": "30"},
            "max_line_width needs response_format 'srt' or 'vtt', not 'json'",
        ),
        ({"highlight_words": "true", "response_format": "verbose_json"}, "highlight_words needs"),
        ({"max_line_count": "2", "response_format": "srt"}, "max_line_count needs max_line_width"),
        ({"max_line_width": "0", "response_format": "srt"}, "a whole number from 1 to 1000"),
        ({"max_words_per_line": "2.5", "response_format": "srt"}, "a whole number from 1 to 1000"),
        ({"max_line_width": "²", "response_format": "srt"}, "a whole number from 1 to 1000"),
        ({"highlight_words": "2", "response_format": "srt"}, "true, false"),
    ],
)
def test_no_option_of_cues_is_without_effect(fields: dict[str, str], message: str) -> None:
    """What they need is said."""
    with pytest.raises(BadRequest, match=message) as e:
        ask(*fields.items())
    assert e.value.param == next(iter(fields))
    assert e.value.code == "invalid_value"


def test_words_of_a_translation_have_no_times() -> None:
    """So they are not measured, and cannot be highlighted."""
    options = ask(("response_format", "srt")).options
    assert measure_words(options, is_able=True).words
    assert not measure_words(options, is_able=False).words
    assert not measure_words(replace(options, task=Task.TRANSLATE), is_able=True).words
    with pytest.raises(BadRequest, match="Unknown field 'highlight_words'"):
        parse_translation([("response_format", "srt"), ("highlight_words", "true")], MODELS)


def test_logprobs_need_json() -> None:
    """No other format has a place for them, so the field would be ignored."""
    assert not ask().options.token_probabilities
    assert ask(("include[]", "logprobs")).options.token_probabilities
    assert ask(("include", "logprobs"), ("stream", "true")).options.token_probabilities
    for other in ("verbose_json", "text", "srt"):
        with pytest.raises(Unsupported, match=f"needs response_format 'json', not '{other}'") as e:
            ask(("include[]", "logprobs"), ("response_format", other))
        assert e.value.param == "include"


@pytest.mark.parametrize("response_format", ["json", "text", "srt", "vtt"])
def test_granularities_are_without_effect_where_there_is_no_place_for_them(
    response_format: str,
) -> None:
    """No words are measured either, which would take time and move the cues."""
    field = ("response_format", response_format)
    assert ask(field, ("timestamp_granularities[]", "word")) == ask(field)


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]"])
@pytest.mark.parametrize(
    "values",
    [
        ["word", "segment"],
        ["word,segment"],
        [" word , segment, "],
        ['["word", "segment"]'],
        ['["word"]', "segment"],
    ],
)
def test_a_list_of_granularities_is_written_in_any_way(name: str, values: list[str]) -> None:
    """As a repeated field, with commas, or as JSON; with brackets behind the name or without."""
    verbose = ("response_format", "verbose_json")
    asked = ask(verbose, *((name, value) for value in values))
    assert asked.granularities == {Granularity.WORD, Granularity.SEGMENT}
    assert asked.options.words


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("letter", "'letter'; it must be one of: segment, word"),
        ('["letter"]', "'letter'; it must be one of: segment, word"),
        ("word,letter", "'letter'; it must be one of: segment, word"),
        ("[1]", "'1'; it must be one of: segment, word"),
        ('["word"', "timestamp_granularities is not JSON."),
    ],
)
@pytest.mark.parametrize("response_format", ["verbose_json", "json"])
def test_an_unknown_granularity_is_refused(
    written: str, message: str, response_format: str
) -> None:
    """With every format: it is a fault in each of them."""
    with pytest.raises(BadRequest, match=re.escape(message)) as e:
        ask(("response_format", response_format), ("timestamp_granularities[]", written))
    assert (e.value.param, e.value.code) == ("timestamp_granularities", "invalid_value")


def test_one_candidate_language_is_the_language() -> None:
    """There is nothing to detect; the answer still names it."""
    asked = ask(("languages[]", "en"), ("languages[]", "english"))
    assert (asked.options.language, asked.options.candidates) == ("en", ("en",))
    assert asked.lists_languages


def test_several_candidate_languages_are_detected_among() -> None:
    """Each once; `language` may be one of them and then decides."""
    asked = ask(("languages[]", "de"), ("languages[]", "english"), ("languages", "de-CH"))
    assert (asked.options.language, asked.options.candidates) == (None, ("de", "en"))
    assert asked.lists_languages
    assert not ask(("language", "en")).lists_languages
    parsed = ask(("language", "en"), ("languages[]", "de"), ("languages[]", "en"))
    assert parsed.options.language == "en"


def test_a_language_outside_the_candidates_is_refused() -> None:
    """The two fields contradict each other."""
    with pytest.raises(BadRequest, match=r"'en' and languages\[\] de, es contradict") as e:
        ask(("language", "en"), ("languages[]", "de"), ("languages[]", "es"))
    assert (e.value.param, e.value.code) == ("languages", "invalid_value")


@pytest.mark.parametrize(
    ("fields", "threshold"),
    [
        ([("multilingual", "true")], SWITCH_THRESHOLD),
        ([("multilingual", "True"), ("language_detection_threshold", "0.5")], 0.5),
        ([("multilingual", "false")], None),
    ],
)
def test_several_languages_may_be_asked_for(
    fields: list[tuple[str, str]], threshold: float | None
) -> None:
    """Also of a translation; the answer then names the spoken ones."""
    assert ask(*fields).options.switch_threshold == threshold
    assert ask(*fields).lists_languages == (threshold is not None)
    assert parse_translation(fields, MODELS).options.switch_threshold == threshold
    begun = ask(*fields, ("language", "de"))
    assert (begun.options.language, begun.options.switch_threshold) == ("de", threshold)


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ([("multilingual", "yes")], "multilingual", "'yes'"),
        (
            [("language_detection_threshold", "0.5")],
            "language_detection_threshold",
            "needs multilingual=true",
        ),
        (
            [("multilingual", "true"), ("language_detection_threshold", "50")],
            "language_detection_threshold",
            "from 0 to 1",
        ),
        ([("multilingual", "true"), ("languages[]", "de")], "multilingual", "'de' alone"),
    ],
)
def test_several_languages_that_make_no_sense(
    fields: list[tuple[str, str]], param: str, message: str
) -> None:
    """A threshold of nothing, and several languages of one."""
    with pytest.raises(BadRequest, match=message) as e:
        ask(*fields)
    assert (e.value.param, e.value.code) == (param, "invalid_value")


def test_a_translation_asks_for_english() -> None:
    """The language is that of the speech; fields that make no sense here are unknown."""
    fields = [("language", "de"), ("response_format", "text"), ("vad", "false")]
    asked = parse_translation(fields, MODELS)
    assert asked.vad == VadOptions(enabled=False)
    assert asked.options == DecodeOptions(language="de", task=Task.TRANSLATE)
    assert asked.response_format is ResponseFormat.TEXT
    with pytest.raises(BadRequest, match="Unknown field 'stream'"):
        parse_translation([("stream", "false")], MODELS)
