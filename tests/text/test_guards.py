from collections.abc import Iterator

import numpy as np
import pytest
from speech_clips import Clip

from whisperlive_hybrid.backends.base import Encode, Generate
from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.silero import SileroVad
from whisperlive_hybrid.speech.regions import VadOptions
from whisperlive_hybrid.speech.windows import WindowCutter
from whisperlive_hybrid.text.hypotheses import (
    Candidate,
    Verdict,
    compression_ratio,
    is_overfull,
    judge,
    loop_ratio,
)
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    Hypothesis,
    Language,
    Thresholds,
    Window,
)

SPEECH = (
    "Well I told him that we could not possibly come before the end of the month because my sister "
    "moves house on Friday and then somebody has to look after her two dogs and the garden."
)
BOUND = Thresholds().compression_ratio


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No.",
        "Yes yes yes!",
        "No, no, no, no.",
        "Go! Go! Go! Go! Go! Go! Go!",
        "No no no no no no no no no no.",  # ten
        "It is very, very, very, very, very, very cold.",
        "Thank you. Thank you. Thank you. Thank you. Thank you.",
        "This is an emergency, please leave the building. " * 3,
        "One two three four. One two three four. One two three four.",
        "0 0 1 0 0 0 0 1 0 0 0 0",
        "谢谢谢谢谢谢。",
        "はい、はい、はい、はい。",
        "ใช่ ใช่ ใช่ ใช่",
        SPEECH,
    ],
)
def test_what_people_say_over_and_over_is_no_loop(text: str) -> None:
    """Emphasis, chants, thanks and announcements are believed."""
    assert loop_ratio(text) <= BOUND


@pytest.mark.parametrize(
    "loop",
    [
        "no " * 11,
        "Yes! yes, YES. " * 3,
        "thank you " * 6,
        "I'm sorry. " * 8,
        "and then we go to the " * 5,
        "Thank you very much for watching this video. " * 4,
        "谢谢大家" * 6,
        "ご視聴ありがとうございました" * 4,
        "ขอบคุณครับ" * 5,
        "Спасибо за внимание. " * 4,
    ],
)
def test_a_loop_is_seen_in_whatever_text_surrounds_it(loop: str) -> None:
    """Whisper's rule sees a loop that stands alone; this one sees it behind a long sentence too."""
    diluted = f"{SPEECH} {loop} {SPEECH[::-1]}"
    assert compression_ratio(diluted) <= BOUND
    assert loop_ratio(diluted) > BOUND
    assert loop_ratio(loop) == pytest.approx(loop_ratio(diluted), rel=0.2)


def test_a_loop_that_is_broken_off_counts_as_far_as_it_goes() -> None:
    """A run-away text ends where the room ends, in the middle of its phrase."""
    assert loop_ratio("we go home now " * 6 + "we go") > BOUND


@pytest.mark.parametrize(
    ("n_tokens", "n_characters", "duration", "is_too_much"),
    [
        (20, 80, 0.0, False),
        (21, 80, 0.0, True),
        (80, 400, 2.0, False),
        (81, 400, 2.0, True),
        (224, 80, 2.0, False),  # several tokens a character: Georgian, Malayalam, Amharic
        (224, 900, 30.0, False),  # all that Whisper can write fits into its own window
    ],
)
def test_more_tokens_than_the_time_can_hold(
    n_tokens: int, n_characters: int, duration: float, *, is_too_much: bool
) -> None:
    """The bound grows with the audio; a character counts once, however it is spelled."""
    assert is_overfull("x" * n_characters, n_tokens, duration) is is_too_much


def test_what_is_really_said_in_the_clips_is_believed(clips: list[Clip]) -> None:
    """The sentences of the test clips are no loops, and fit into their time by far."""
    for clip in clips:
        assert loop_ratio(clip.text) == 0.0
        assert not is_overfull(clip.text, len(clip.text), len(clip.samples) / SAMPLE_RATE)


@pytest.mark.parametrize("beam_size", [1, 5])
def test_what_the_model_reads_in_the_clips_is_believed(
    demo: Ct2Backend, clips: list[Clip], beam_size: int
) -> None:
    """No guard trips on any window of any test clip, read as an update or as a final."""
    for clip in clips:
        for window in _windows(demo, clip):
            read = _read(demo, window, clip.language or "en", beam_size)
            assert not read.is_runaway(Thresholds()), f"{clip.file}: {read.text}"


def test_a_looped_reading_is_not_believed(demo: Ct2Backend, clips: list[Clip]) -> None:
    """The same reading with its last word repeated to the end is tried again."""
    clip = next(clip for clip in clips if clip.file == "en-0.flac")
    (window,) = _windows(demo, clip)
    good = _read(demo, window, "en", 5)
    *tokens, _, end = good.hypothesis.tokens
    looped = good.hypothesis.tokens[:-1] + (tokens[-1],) * 40 + (end,)
    hypothesis = Hypothesis(looped, -0.1, 0.0, 0.0)
    read = Candidate.of(hypothesis, demo.vocabulary, window.duration)
    assert judge(good, Thresholds()) is Verdict.ACCEPT
    assert judge(read, Thresholds()) is Verdict.RETRY


def _windows(demo: Ct2Backend, clip: Clip) -> Iterator[Window]:
    """A clip as both doors cut it."""
    cutter = WindowCutter(VadOptions(), demo.capabilities.longest_window_s)
    voice = SileroVad().open()
    yield from cutter.push(clip.samples, voice.push(clip.samples))
    yield from cutter.push(np.zeros(0, np.float32), voice.flush())
    yield from cutter.flush()


def _read(demo: Ct2Backend, window: Window, language: str, beam_size: int) -> Candidate:
    """What the model writes at temperature 0."""
    options = DecodeOptions(beam_size=beam_size)
    (encoded,) = demo.encode([Encode(window, demo.capabilities.context_for(window.duration))])
    assert not isinstance(encoded, Exception)
    (read,) = demo.generate([Generate(encoded, Language(language, 1.0), options, 0.0)])
    assert not isinstance(read, Exception)
    return Candidate.of(read, demo.vocabulary, window.duration)
