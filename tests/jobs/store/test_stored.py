import json
import math

from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.jobs.model import Result
from whisperlive_hybrid.jobs.store.checkpoints import (
    dump_audio,
    dump_failure,
    dump_reading,
    dump_result,
    load_audio,
    load_failure,
    load_reading,
    load_result,
)
from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.protocol.openai.request import AudioRequest, Granularity
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.types import DecodeOptions, DecodeResult, Language, Segment, Task, Word

numbers = st.floats(allow_nan=False)  # infinities too: a model may be that sure
words = st.builds(Word, st.text(), numbers, numbers, numbers)
segments = st.builds(
    Segment,
    start=numbers,
    end=numbers,
    text=st.text(),
    tokens=st.lists(st.integers(0, 60_000)).map(tuple),
    temperature=numbers,
    avg_logprob=numbers,
    compression_ratio=numbers,
    no_speech_prob=numbers,
    words=st.none() | st.lists(words).map(tuple),
    language=st.none() | st.sampled_from(["en", "yue"]),
)
languages = st.builds(Language, st.text(), numbers)
unread = st.lists(st.tuples(numbers, numbers)).map(tuple)
readings = st.builds(
    DecodeResult,
    st.lists(segments).map(tuple),
    languages,
    st.booleans(),
    unread,
    detected=st.none() | languages,
)
results = st.builds(
    Result, st.lists(segments).map(tuple), st.sampled_from(["en", "yue"]), numbers, unread
)


@given(readings)
def test_a_reading_comes_back_exactly(reading: DecodeResult) -> None:
    """Every digit: a resumed job must not differ from an undisturbed one."""
    assert load_reading(dump_reading(reading)) == reading


@given(results)
def test_a_result_comes_back_exactly(result: Result) -> None:
    """Any format is written from it later."""
    assert load_result(dump_result(result)) == result


def test_a_result_of_an_earlier_version_is_read() -> None:
    """It tells nothing of speech without text."""
    result = Result((), "en", 2.5)
    written = json.loads(dump_result(result))
    del written["unread"]
    assert load_result(json.dumps(written)) == result


def test_a_request_comes_back_with_all_its_options() -> None:
    """What the client asked for still holds after a restart."""
    request = AudioRequest(
        DecodeOptions(
            "de",
            Task.TRANSLATE,
            "Dr. Ü",
            "Kassel",
            words=True,
            temperatures=(0.4, 1.0),
            candidates=("de",),
            switch_threshold=0.7,
        ),
        VadOptions(threshold=0.7, pre_roll_s=0.1),
        granularities=frozenset(Granularity),
        model="small",
        lists_languages=True,
        audio_track=1,
    )
    assert load_audio(dump_audio(request), "small") == request


def test_a_request_of_an_earlier_version_reads_the_default_track() -> None:
    """Jobs that were handed in before there was a choice go on."""
    written = json.loads(dump_audio(AudioRequest(model="small")))
    del written["audio_track"]
    assert load_audio(json.dumps(written), "small") == AudioRequest(model="small")


def test_a_failure_comes_back() -> None:
    """With all four keys of the error object, or not at all."""
    failure = ErrorInfo("Bad.", "invalid_request_error", "file", "audio_too_long")
    assert load_failure(dump_failure(failure)) == failure
    assert load_failure(dump_failure(None)) is None


def test_what_is_not_finite_survives() -> None:
    """A log probability of minus infinity is one."""
    segment = Segment(0, 1, "", (), 0.0, -math.inf, 1.0, 0.0)
    reading = DecodeResult((segment,), Language("en", 1.0))
    assert load_reading(dump_reading(reading)).segments[0].avg_logprob == -math.inf
