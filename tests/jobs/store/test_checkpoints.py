import numpy as np
import pytest
from sqlalchemy.exc import IntegrityError

from whisperlive_hybrid.jobs.model import JobRequest, JobSource, NewJob, NewSource, SourceOrigin
from whisperlive_hybrid.jobs.store.store import JobStore
from whisperlive_hybrid.protocol.openai.request import AudioRequest
from whisperlive_hybrid.types import DecodeResult, Language, Segment, Window, WindowSpan

pytestmark = pytest.mark.anyio


def window(start: int, end: int) -> Window:
    """A window of these samples of the recording."""
    return Window(np.zeros(end - start, np.float32), (WindowSpan(0, start, end - start),))


def reading(text: str) -> DecodeResult:
    """What a model answers."""
    segment = Segment(0, 1, text, (1, 2), 0.0, -0.1, 1.0, 0.0)
    return DecodeResult((segment,), Language("en", 0.9))


async def source_in(store: JobStore) -> JobSource:
    """A file of a job."""
    upload = NewSource("a", SourceOrigin.UPLOAD, "a.media")
    new = NewJob("job_1", "", JobRequest(AudioRequest()))
    return (await store.add(new, [upload], 0.0, 9)).sources[0]


async def test_what_was_kept_is_recalled_by_the_next_process(store: JobStore) -> None:
    """Only for the very same samples and the language that was asked for."""
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
    """Whatever was read first; a window that was read again is told once, as it was read last."""
    memory = await store.load_checkpoint(await source_in(store))
    await memory.keep(window(200, 300), "de", reading(" drei"))
    await memory.keep(window(0, 100), None, reading(" one"))
    await memory.keep(window(100, 200), None, reading(" two"))
    await memory.keep(window(0, 100), "de", reading(" eins"))
    assert await memory.text() == "eins two drei"


async def test_a_window_is_kept_once(store: JobStore) -> None:
    """To read a stored window again would be a defect, and it is found."""
    memory = await store.load_checkpoint(await source_in(store))
    await memory.keep(window(0, 100), "en", reading("once"))
    with pytest.raises(IntegrityError):
        await memory.keep(window(0, 100), "en", reading("twice"))


async def test_readings_go_when_the_file_has_ended(store: JobStore) -> None:
    """They have served."""
    source = await source_in(store)
    memory = await store.load_checkpoint(source)
    await memory.keep(window(0, 100), "en", reading("once"))
    await store.end_source(source, None)
    assert await (await store.load_checkpoint(source)).recall(window(0, 100), "en") is None
