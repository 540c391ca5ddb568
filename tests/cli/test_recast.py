from dataclasses import replace

from speech_clips import whole_window

from whisperlive_hybrid.backends.base import Align, DetectLanguage, Encode, Generate
from whisperlive_hybrid.backends.fake import FakeBackend, speak
from whisperlive_hybrid.cli.calibrate import Recast
from whisperlive_hybrid.types import DecodeOptions, Language, Task

ENGLISH = Language("en", 1.0)


def test_works_as_the_backend_does_under_other_capabilities() -> None:
    """All work is the backend's; only what it is said to be able to do differs."""
    fake = FakeBackend()
    recast = Recast(fake, replace(fake.capabilities, contexts_s=(30.0,)))
    assert recast.capabilities.context_for(1.0) == 30.0
    encode = Encode(whole_window(speak([1, 2])), 30.0)
    (encoded,) = recast.encode([encode])
    assert not isinstance(encoded, Exception)
    generate = Generate(encoded, ENGLISH, DecodeOptions(), 0.0)
    align = Align(encoded, ENGLISH, Task.TRANSCRIBE, (1, 2), 0.7)
    detect = DetectLanguage(encoded)
    assert recast.generate([generate]) == FakeBackend().generate([generate])
    assert recast.align([align]) == FakeBackend().align([align])
    assert recast.detect_language([detect]) == FakeBackend().detect_language([detect])
    for work in (encode, generate, align, detect):
        assert recast.batch_key(work) == fake.batch_key(work)
    assert recast.vocabulary is fake.vocabulary


def test_closing_it_leaves_the_weights() -> None:
    """They belong to whoever loaded them."""
    fake = FakeBackend()
    Recast(fake, fake.capabilities).close()
    assert not fake.is_closed
