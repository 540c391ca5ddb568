"""What a live stream does next, decided without an event loop, a model or a clock."""

import numpy as np

from whisperlive_hybrid.live.tracker import (
    STALL_S,
    Commands,
    Complete,
    End,
    ShowGuess,
    Update,
    UtteranceTracker,
    WaitForAudio,
    WaitForResult,
)
from whisperlive_hybrid.speech.regions import FRAME, LIVE_VAD
from whisperlive_hybrid.text.endings import EndingOptions
from whisperlive_hybrid.types import SAMPLE_RATE, DecodeResult, Language, Word

FRAME_S = FRAME / SAMPLE_RATE
NOTHING = DecodeResult((), Language("en", 1.0))


def tracker(endings: EndingOptions | None = None) -> UtteranceTracker:
    """A stream with an endpoint of 1.0 s and an update for each second of speech."""
    return UtteranceTracker(LIVE_VAD, 20.0, endings, lambda: 1.0)


def feed(stream: UtteranceTracker, seconds: float, *, is_speech: bool) -> Commands:
    """Give a stream some seconds of speech, or of silence."""
    n_frames = round(seconds / FRAME_S)
    samples = np.zeros(n_frames * FRAME, np.float32)
    return stream.receive(samples, [float(is_speech)] * n_frames)


def test_silence_is_waited_through() -> None:
    """Nothing is open, so nothing can stall."""
    stream = tracker()
    assert not feed(stream, 3.0, is_speech=False).is_news
    assert stream.next() == WaitForAudio(None)


def test_speech_is_updated_once_there_is_enough_of_it() -> None:
    """And again after as much that no update has seen."""
    stream = tracker()
    feed(stream, 0.8, is_speech=True)
    assert stream.next() == WaitForAudio(STALL_S)
    feed(stream, 0.4, is_speech=True)
    update = stream.next()
    assert isinstance(update, Update)
    assert update.newest is update.utterance
    assert stream.next() == WaitForAudio(STALL_S)
    feed(stream, 1.1, is_speech=True)
    assert isinstance(stream.next(), Update)


def test_stalled_speech_is_updated_however_little_it_is() -> None:
    """A client that waits for the end of its file would wait for ever."""
    stream = tracker()
    feed(stream, 0.5, is_speech=True)
    assert stream.next() == WaitForAudio(STALL_S)
    stream.has_stalled = True
    assert isinstance(stream.next(), Update)


def test_an_utterance_is_decoded_before_its_endpoint_and_completed_at_it() -> None:
    """The guess is shown as tentative text at once, and taken over by the endpoint."""
    stream = tracker()
    feed(stream, 2.0, is_speech=True)
    settled = feed(stream, 0.6, is_speech=False)
    [guess] = settled.start
    assert settled.cancels_update
    guess.result = NOTHING
    assert stream.next() == ShowGuess(guess)
    assert stream.next() == WaitForAudio(STALL_S)
    ended = feed(stream, 0.5, is_speech=False)
    assert not ended.start
    assert stream.next() == Complete(guess)


def test_a_guess_is_given_up_when_the_speaker_goes_on() -> None:
    """What of it was shown stays, and later updates follow it."""
    stream = tracker()
    feed(stream, 2.0, is_speech=True)
    [guess] = feed(stream, 0.6, is_speech=False).start
    guess.result = NOTHING
    assert stream.next() == ShowGuess(guess)
    guess.is_shown = True
    went_on = feed(stream, 1.2, is_speech=True)
    assert went_on.cancel == [guess]
    assert went_on.keeps_guess
    update = stream.next()
    assert isinstance(update, Update)
    assert update.newest.start == guess.window.end


def test_finals_are_completed_in_order() -> None:
    """However early the second one has its result."""
    stream = tracker()
    finals = []
    for _ in range(2):
        feed(stream, 1.0, is_speech=True)
        finals += feed(stream, 1.2, is_speech=False).start
    first, second = finals
    second.result = NOTHING
    assert stream.next() == WaitForResult()
    first.result = NOTHING
    assert stream.next() == Complete(first)
    assert stream.next() == Complete(second)


def test_the_end_completes_what_is_open() -> None:
    """Then there is nothing more to do."""
    stream = tracker()
    feed(stream, 1.0, is_speech=True)
    commands = stream.finish([])
    [final] = commands.start
    assert commands.is_news
    assert stream.next() == WaitForResult()
    final.result = NOTHING
    assert stream.next() == Complete(final)
    assert stream.next() == End()


def test_an_utterance_ends_early_behind_a_stable_sentence() -> None:
    """In the pause behind it; the rest of the utterance goes on."""
    stream = tracker(EndingOptions(shortest_sentence_s=2.0, guard_s=1.0))
    feed(stream, 3.0, is_speech=True)
    feed(stream, 0.3, is_speech=False)
    feed(stream, 2.0, is_speech=True)
    update = stream.next()
    assert isinstance(update, Update)
    assert update.has_words
    stable = [Word(" Over.", 2.0, 3.0, 1.0), Word(" And", 3.4, 3.8, 1.0)]
    early = stream.end_early(update.utterance, stable)
    assert early is not None
    end, commands = early
    assert 3.0 < end < 3.3
    [final] = commands.start
    assert end - FRAME_S < final.window.end <= end
    assert stream.is_in_speech
