"""From a pool of sentences to the tokens that a decoder should give."""

import random
from pathlib import Path

import numpy as np
import pytest
from demo_model.pool import SAMPLE_RATE, Pool, Utterance, read, write
from demo_model.targets import NO_TARGET, ScriptWriter
from demo_model.tokenizer import DEFAULT_PATH
from demo_model.track import Layout, Track, TrackMaker, no_pause, uniform_pause
from demo_speech import grammar
from demo_speech.grammar import LANGUAGES
from tokenizers import Tokenizer

SEEDS = range(60)


def _utterance(rng: random.Random, turn: int) -> Utterance:
    """Return a sentence that sounds all through: each word lasts 0.3 s and is one phone."""
    language = LANGUAGES[turn % 3]
    sentence = grammar.draw(rng)
    count = len(sentence.text(language).split())
    starts = 0.3 * np.arange(count)
    return Utterance(
        samples=np.full(count * 4800, 1000 + turn, np.int16),
        language=language,
        voice=10 if turn % 5 == 0 else 0,
        sentence=sentence,
        end=count * 0.3,
        words=np.stack([starts, starts + 0.3], 1).astype(np.float32),
        phones=np.stack([starts, 1.0 + np.arange(count)], 1).astype(np.float32),
    )


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Return a pool of thirty sentences."""
    rng = random.Random(1)
    return Pool(_utterance(rng, turn) for turn in range(30))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Return the tokenizer in the repository."""
    return Tokenizer.from_file(str(DEFAULT_PATH))


def _layout(sentences: int, longest: float, *, runs_over: bool = False) -> Layout:
    return Layout(sentences, longest, lambda: 0.2, lambda: 0.5, no_pause, runs_over)


def test_a_pool_file_gives_back_what_was_written(pool: Pool, tmp_path: Path) -> None:
    """Writing and reading keeps every utterance, its end rounded to a millisecond."""
    path = tmp_path / "pool.npz"
    write(path, pool.utterances)
    for before, after in zip(pool.utterances, read(path), strict=True):
        assert (after.language, after.voice, after.sentence) == (
            before.language,
            before.voice,
            before.sentence,
        )
        assert after.end == pytest.approx(before.end, abs=5e-4)
        np.testing.assert_array_equal(after.samples, before.samples)
        np.testing.assert_array_equal(after.words, before.words)
        np.testing.assert_array_equal(after.phones, before.phones)


def test_flite_voices_are_drawn_half_as_often(pool: Pool) -> None:
    """A voice of espeak-ng stands twice among those to draw from, one of flite once."""
    assert sorted(pool.voices("en")) == [0, 0, 10]


def test_sentences_sound_where_they_are_placed(pool: Pool) -> None:
    """Between its start and end a placed sentence sounds; before it and after it nothing does."""
    maker = TrackMaker(pool, random.Random(2))
    for _ in SEEDS:
        track = maker.make(_layout(3, 20.0))
        sounding = track.samples != 0
        for placed in track.placed:
            first, after = round(placed.start * SAMPLE_RATE), round(placed.end * SAMPLE_RATE)
            assert sounding[first + 1 : after - 1].all()
            assert not sounding[first - 100 : first - 1].any()


def test_a_sentence_cut_by_the_border_is_not_written(pool: Pool) -> None:
    """Every sentence on the list ends within the recording; one that does not is a cut-off."""
    maker = TrackMaker(pool, random.Random(3))
    tracks = [maker.make(_layout(9, 6.0, runs_over=True)) for _ in SEEDS]
    assert any(track.cut_off for track in tracks)
    assert all(placed.end <= 5.95 for track in tracks for placed in track.placed)


def test_a_cut_sentence_has_its_audible_words_only(pool: Pool) -> None:
    """A part of a sentence is a run of its words, with a time for each of them."""
    maker = TrackMaker(pool, random.Random(4), head_cut=0.5, tail_cut=0.5)
    placed = [placed for _ in SEEDS for placed in maker.make(_layout(1, 9.0)).placed]
    parts = [part for part in placed if part.partial_text is not None]
    assert len(parts) > 20
    for part in parts:
        assert part.partial_text is not None
        assert len(part.partial_text.split()) == len(part.word_times)
        assert any(part.partial_text in text for text in part.sentence.texts)


def test_each_token_is_the_answer_to_the_one_before(pool: Pool, tokenizer: Tokenizer) -> None:
    """A decoder is fed what it should just have said, up to the end token."""
    rng = random.Random(5)
    maker, writer = TrackMaker(pool, rng), ScriptWriter(pool, tokenizer, rng)
    vocabulary = writer.vocabulary
    for _ in SEEDS:
        positions = writer.write(maker.make(_layout(2, 12.0)), long_prompts=False).positions
        start = next(i for i, place in enumerate(positions) if place.token == vocabulary.start)
        said = positions[start + 2 :]
        said = said[1:] if said[0].target == NO_TARGET else said
        assert [place.token for place in said[1:]] == [place.target for place in said[:-1]]
        assert said[-1].target == vocabulary.end


def test_the_first_time_mark_is_within_a_second(pool: Pool, tokenizer: Tokenizer) -> None:
    """However late speech begins, the first mark is one that decoders allow."""
    rng = random.Random(6)
    maker, writer = TrackMaker(pool, rng), ScriptWriter(pool, tokenizer, rng)
    first_mark = writer.vocabulary.first_time_mark
    late = Layout(1, 12.0, uniform_pause(rng, 1.5, 5.0), no_pause, no_pause)
    firsts = []
    for _ in SEEDS:
        positions = writer.write(maker.make(late), long_prompts=False).positions
        marks = [place.target for place in positions if place.target >= first_mark]
        firsts += marks[:1]
    assert set(firsts) == {first_mark + 50}


def test_a_recording_without_sentences_has_no_speech(pool: Pool, tokenizer: Tokenizer) -> None:
    """Silence asks for <|nospeech|> at the start and for no text."""
    writer = ScriptWriter(pool, tokenizer, random.Random(7))
    silence = Track(np.zeros(SAMPLE_RATE, np.float32), "en", ())
    vocabulary = writer.vocabulary
    for _ in SEEDS:
        positions = writer.write(silence, long_prompts=False).positions
        targets = [place.target for place in positions if place.target != NO_TARGET]
        assert targets[0] == vocabulary.no_speech
        assert set(targets[1:]) <= {vocabulary.first_time_mark, vocabulary.end}
