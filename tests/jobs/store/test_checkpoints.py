import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from whisperlive_hybrid.jobs.model import (
    JobRequest,
    JobSource,
    NewJob,
    NewSource,
    Result,
    SourceOrigin,
)
from whisperlive_hybrid.jobs.store.checkpoints import (
    dump_audio,
    dump_decode_result,
    dump_failure,
    dump_result,
    load_audio,
    load_decode_result,
    load_failure,
    load_result,
)
from whisperlive_hybrid.jobs.store.store import JobStore
from whisperlive_hybrid.protocol.errors import ErrorInfo
from whisperlive_hybrid.protocol.openai.request import AudioRequest, Granularity
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.types import (
    DecodeOptions,
    DecodeResult,
    Language,
    Segment,
    Task,
    Window,
    WindowSpan,
    Word,
)

pytestmark = pytest.mark.anyio


def window(start: int, end: int) -> Window:
    """A window of these samples of the recording."""
    return Window(np.zeros(end - start, np.float32), (WindowSpan(0, start, end - start),))


def reading(text: str) -> DecodeResult:
    """A result of a model."""
    segment = Segment(0, 1, text, (1, 2), 0.0, -0.1, 1.0, 0.0)
    return DecodeResult((segment,), Language("en", 0.9))


async def source_in(store: JobStore) -> JobSource:
    """A file of a job."""
    upload = NewSource("a", SourceOrigin.UPLOAD, "a.media")
    new = NewJob("job_1", "", JobRequest(AudioRequest()))
    return (await store.add(new, [upload], 0.0, 9)).sources[0]


async def test_what_was_kept_is_recalled_by_the_next_process(store: JobStore) -> None:
    """Only for the same samples and the same requested language."""
    source = await source_in(store)
    memory = await store.load_checkpoint(source)
    await memory.keep(window(0, 100), None, reading("detected"))
    await memory.keep(window(0, 100), "de", reading("deutsch"))
    later = await store.load_checkpoint(source)
    assert await later.recall(window(0, 100), None) == reading("detected")
    assert await later.recall(window(0, 100), "de") == reading("deutsch")
    assert await later.recall(window(0, 100), "en") is None
    assert await later.recall(window(0, 99), None) is None
    assert await later.recall(window(1, 100), None) is None
    assert (later.recalled, later.kept) == (2, 0)


async def test_the_text_so_far_is_in_order(store: JobStore) -> None:
    """In any order of decoding; a window that was decoded twice counts with its last result."""
    memory = await store.load_checkpoint(await source_in(store))
    await memory.keep(window(200, 300), "de", reading(" drei"))
    await memory.keep(window(0, 100), None, reading(" one"))
    await memory.keep(window(100, 200), None, reading(" two"))
    await memory.keep(window(0, 100), "de", reading(" eins"))
    assert await memory.text() == "eins two drei"


async def test_a_window_is_kept_once(store: JobStore) -> None:
    """Decoding a stored window again is a defect, and raises."""
    memory = await store.load_checkpoint(await source_in(store))
    await memory.keep(window(0, 100), "en", reading("once"))
    with pytest.raises(IntegrityError):
        await memory.keep(window(0, 100), "en", reading("twice"))


async def test_checkpoints_are_deleted_when_the_file_has_ended(store: JobStore) -> None:
    """They are no longer needed."""
    source = await source_in(store)
    memory = await store.load_checkpoint(source)
    await memory.keep(window(0, 100), "en", reading("once"))
    await store.end_source(source, None)
    assert await (await store.load_checkpoint(source)).recall(window(0, 100), "en") is None


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
    """Every digit: a resumed job must equal an uninterrupted one."""
    assert load_decode_result(dump_decode_result(reading)) == reading


@given(results)
def test_a_result_comes_back_exactly(result: Result) -> None:
    """All formats are rendered from it later."""
    assert load_result(dump_result(result)) == result


def test_a_result_of_an_earlier_version_is_read() -> None:
    """It has no list of speech without text."""
    result = Result((), "en", 2.5)
    written = json.loads(dump_result(result))
    del written["unread"]
    assert load_result(json.dumps(written)) == result


def test_a_request_comes_back_with_all_its_options() -> None:
    """The options of a request are the same after a restart."""
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
    """Jobs stored before there was a choice continue."""
    written = json.loads(dump_audio(AudioRequest(model="small")))
    del written["audio_track"]
    assert load_audio(json.dumps(written), "small") == AudioRequest(model="small")


def test_a_failure_comes_back() -> None:
    """With all four fields of the error object, or None."""
    failure = ErrorInfo("Bad.", "invalid_request_error", "file", "audio_too_long")
    assert load_failure(dump_failure(failure)) == failure
    assert load_failure(dump_failure(None)) is None


def test_what_is_not_finite_survives() -> None:
    """A log probability may be minus infinity."""
    segment = Segment(0, 1, "", (), 0.0, -math.inf, 1.0, 0.0)
    reading = DecodeResult((segment,), Language("en", 1.0))
    assert load_decode_result(dump_decode_result(reading)).segments[0].avg_logprob == -math.inf
