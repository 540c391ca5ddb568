from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speech_clips import Clip

from whisperlive_hybrid.backends.base import Encode, Generate
from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.fake import FakeVocabulary
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
    pick_least_bad,
    split_segments,
)
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    TIME_MARK_S,
    DecodeOptions,
    Hypothesis,
    Language,
    Segment,
    Thresholds,
    Window,
)

VOCABULARY = FakeVocabulary()


def at(seconds: float) -> int:
    """Return the time mark of a window time."""
    return VOCABULARY.timestamp_begin + round(seconds / TIME_MARK_S)


def candidate(
    *tokens: int,
    avg_logprob: float = -0.1,
    no_speech_prob: float = 0.0,
    ratio: float = 1.0,
    loop: float = 0.0,
    is_overfull: bool = False,
) -> Candidate:
    """Return a candidate with the given signs."""
    hypothesis = Hypothesis(tokens, avg_logprob, no_speech_prob, 0.0)
    return Candidate(hypothesis, VOCABULARY.decode(tokens).strip(), ratio, loop, is_overfull)


def cut(*tokens: int, duration: float = 10.0) -> list[tuple[float, float, str]]:
    """Return the segments of tokens."""
    found = split_segments(candidate(*tokens), VOCABULARY, duration)
    return [(segment.start, segment.end, segment.text) for segment in found]


@pytest.mark.parametrize(
    ("avg_logprob", "no_speech_prob", "ratio", "verdict"),
    [
        (-0.1, 0.0, 1.0, Verdict.ACCEPT),
        (-1.0, 0.0, 2.4, Verdict.ACCEPT),  # the bounds themselves are fine
        (-1.1, 0.0, 1.0, Verdict.RETRY),
        (-0.1, 0.0, 2.5, Verdict.RETRY),
        (-0.1, 0.9, 1.0, Verdict.ACCEPT),  # confident text outweighs the no-speech token
        (-1.1, 0.9, 1.0, Verdict.SILENCE),
        (-1.1, 0.6, 1.0, Verdict.RETRY),
        (-1.1, 0.9, 9.0, Verdict.SILENCE),
        (-0.1, 0.9, 2.5, Verdict.RETRY),
    ],
)
def test_the_three_rules(
    avg_logprob: float, no_speech_prob: float, ratio: float, verdict: Verdict
) -> None:
    """Whisper's rules: a guess or a repetition is retried; a guess without speech is silence."""
    judged = candidate(1, avg_logprob=avg_logprob, no_speech_prob=no_speech_prob, ratio=ratio)
    assert judge(judged, Thresholds()) is verdict


@pytest.mark.parametrize(
    "wild",
    [candidate(1, loop=2.5), candidate(1, is_overfull=True)],
    ids=["loop", "more than the time can hold"],
)
def test_the_guards(wild: Candidate) -> None:
    """A runaway text is retried even with a high probability, and is never kept."""
    assert judge(wild, Thresholds()) is Verdict.RETRY
    assert judge(replace(wild, loop_ratio=2.4, is_overfull=False), Thresholds()) is Verdict.ACCEPT
    guess = candidate(2, avg_logprob=-3.0)
    assert pick_least_bad([wild, guess], Thresholds()) is guess


def test_reads_a_hypothesis() -> None:
    """A candidate has its text, its repetition, and whether it is too long."""
    said = (at(0), 1, 2, 3, *[7] * 50, at(2))
    read = Candidate.of(Hypothesis(said, -0.1, 0.0, 0.0), VOCABULARY, 1.0)
    assert read.text == " ".join(["w1 w2 w3", *["w7"] * 50])
    assert read.loop_ratio > read.compression_ratio > 2.4
    assert read.is_overfull
    assert not Candidate.of(read.hypothesis, VOCABULARY, 2.0).is_overfull


def test_empty_text_does_not_repeat_itself() -> None:
    """It is accepted; its compression ratio is below 1."""
    read = Candidate.of(Hypothesis((), -0.1, 0.0, 0.0), VOCABULARY, 0.0)
    assert judge(read, Thresholds()) is Verdict.ACCEPT


def test_the_least_bad_does_not_repeat_itself() -> None:
    """An improbable text is better than a probable loop; of loops, the most probable is kept."""
    loop = candidate(1, avg_logprob=-0.1, ratio=9.0)
    worse_loop = candidate(2, avg_logprob=-0.5, ratio=3.0)
    guess = candidate(3, avg_logprob=-2.0)
    worse_guess = candidate(4, avg_logprob=-3.0)
    assert pick_least_bad([loop, worse_guess, guess], Thresholds()) is guess
    assert pick_least_bad([worse_loop, loop], Thresholds()) is loop


def test_cuts_at_time_marks() -> None:
    """Two consecutive marks end one segment and begin the next, with a pause in between."""
    assert cut(at(0.5), 1, 2, at(1.5), at(2.0), 3, at(3.0)) == [
        (0.5, 1.5, " w1 w2"),
        (2.0, 3.0, " w3"),
    ]


def test_one_mark_between_texts_ends_and_begins() -> None:
    """A single mark ends one segment and begins the next."""
    assert cut(at(0), 1, at(1.0), 2, at(2.0)) == [(0.0, 1.0, " w1"), (1.0, 2.0, " w2")]


def test_the_mark_of_zero_is_a_mark() -> None:
    """The mark of 0.00 s ends a segment like any other."""
    assert cut(1, at(0), 2, at(1.0)) == [(0.0, 0.0, " w1"), (0.0, 1.0, " w2")]


def test_text_without_marks_fills_the_window() -> None:
    """Without time marks there is one segment of the whole window."""
    assert cut(1, 2, duration=4.0) == [(0.0, 4.0, " w1 w2")]


def test_text_behind_the_last_mark_is_kept() -> None:
    """Text without an end mark ends with the window."""
    assert cut(at(0), 1, at(1.0), at(1.5), 2, duration=4.0) == [
        (0.0, 1.0, " w1"),
        (1.5, 4.0, " w2"),
    ]


def test_marks_are_pulled_into_the_window() -> None:
    """With padding, a model may write a mark after the end of the window."""
    assert cut(at(0), 1, at(8.0), at(9.0), 2, at(9.5), duration=5.0) == [
        (0.0, 5.0, " w1"),
        (5.0, 5.0, " w2"),
    ]


def test_marks_that_go_back_are_pulled_forward() -> None:
    """No segment ends before it starts."""
    assert cut(at(2.0), 1, at(1.0), at(0.5), 2, at(3.0)) == [
        (2.0, 2.0, " w1"),
        (2.0, 3.0, " w2"),
    ]


def test_nothing_said_is_no_segment() -> None:
    """Marks without text are no segment."""
    assert cut() == []
    assert cut(at(0), at(1.0)) == []


def test_segments_carry_what_judges_them() -> None:
    """A segment has the scores of its hypothesis, and its tokens with their marks."""
    tokens = (at(0), 1, at(1.0))
    hypothesis = Hypothesis(tokens, -0.25, 0.125, 0.4)
    (segment,) = split_segments(Candidate(hypothesis, "w1", 1.5), VOCABULARY, 5.0)
    assert segment == Segment(0.0, 1.0, " w1", tokens, 0.4, -0.25, 1.5, 0.125, None)


@given(
    tokens=st.lists(st.one_of(st.integers(1, 999), st.integers(1100, 2600)), max_size=30),
    duration=st.floats(0.01, 30),
)
def test_whatever_a_model_writes_no_word_is_lost(tokens: list[int], duration: float) -> None:
    """All text is in exactly one segment, in order, and times ascend within the window."""
    found = split_segments(candidate(*tokens), VOCABULARY, duration)
    assert "".join(segment.text for segment in found) == VOCABULARY.decode(tokens)
    times = [time for segment in found for time in (segment.start, segment.end)]
    assert times == sorted(times)
    assert all(0 <= time <= duration for time in times)


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
    """Emphasis, chants, thanks and announcements are no loops."""
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
    """Whisper's rule finds a loop by itself; this one also finds it after a long sentence."""
    diluted = f"{SPEECH} {loop} {SPEECH[::-1]}"
    assert compression_ratio(diluted) <= BOUND
    assert loop_ratio(diluted) > BOUND
    assert loop_ratio(loop) == pytest.approx(loop_ratio(diluted), rel=0.2)


def test_a_loop_that_is_broken_off_counts_as_far_as_it_goes() -> None:
    """A runaway text ends at the token limit, in the middle of its phrase."""
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
    """The limit grows with the audio; a character of several tokens counts once."""
    assert is_overfull("x" * n_characters, n_tokens, duration) is is_too_much


def test_what_is_really_said_in_the_clips_is_believed(clips: list[Clip]) -> None:
    """The sentences of the test clips are no loops, and are far below the limit."""
    for clip in clips:
        assert loop_ratio(clip.text) == 0.0
        assert not is_overfull(clip.text, len(clip.text), len(clip.samples) / SAMPLE_RATE)


@pytest.mark.parametrize("beam_size", [1, 5])
def test_what_the_model_reads_in_the_clips_is_believed(
    demo: Ct2Backend, clips: list[Clip], beam_size: int
) -> None:
    """No window of a test clip is a runaway, at the beam sizes of updates and finals."""
    for clip in clips:
        for window in _windows(demo, clip):
            read = _read(demo, window, clip.language or "en", beam_size)
            assert not read.is_runaway(Thresholds()), f"{clip.file}: {read.text}"


def test_a_looped_reading_is_not_believed(demo: Ct2Backend, clips: list[Clip]) -> None:
    """The same hypothesis with its last word repeated to the end is retried."""
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
    """Yield the windows of a clip."""
    cutter = WindowCutter(VadOptions(), demo.capabilities.longest_window_s)
    voice = SileroVad().open()
    yield from cutter.push(clip.samples, voice.push(clip.samples))
    yield from cutter.push(np.zeros(0, np.float32), voice.flush())
    yield from cutter.flush()


def _read(demo: Ct2Backend, window: Window, language: str, beam_size: int) -> Candidate:
    """Return the hypothesis at temperature 0."""
    options = DecodeOptions(beam_size=beam_size)
    (encoded,) = demo.encode([Encode(window, demo.capabilities.context_for(window.duration))])
    assert not isinstance(encoded, Exception)
    (read,) = demo.generate([Generate(encoded, Language(language, 1.0), options, 0.0)])
    assert not isinstance(read, Exception)
    return Candidate.of(read, demo.vocabulary, window.duration)
