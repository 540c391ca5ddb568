from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pytest
from speech_clips import Clip, whole

from whisperlive_hybrid import models
from whisperlive_hybrid.backends.base import Align, DetectLanguage, Encode, Encoded, Generate, Work
from whisperlive_hybrid.backends.ct2 import Ct2Backend, Ct2Encoded
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models import DEMO, ModelCard, ModelFiles, find_model
from whisperlive_hybrid.text.words import with_words
from whisperlive_hybrid.types import DecodeOptions, Language, Segment, Task, TokenTime

CONTEXT_S = 5.0
"""Holds every single sentence with the silence that the model needs behind it."""

T = TypeVar("T")


def good(answers: list[T | Exception]) -> list[T]:
    """Answers of which none is an exception."""
    return [answer for answer in answers if not isinstance(answer, Exception)]


def encoded(demo: Ct2Backend, clip: Clip) -> Encoded:
    """The encoder output of a sentence by itself."""
    return good(demo.encode([Encode(whole(clip.samples), CONTEXT_S)]))[0]


def generate(encoding: Encoded, clip: Clip, options: DecodeOptions | None = None) -> Generate:
    """The work of reading a clip in its language."""
    language = Language(clip.language or "en", 1.0)
    return Generate(encoding, language, options or DecodeOptions(), 0.0)


def text(demo: Ct2Backend, clip: Clip, options: DecodeOptions | None = None) -> str:
    """What the model writes for a clip."""
    (hypothesis,) = good(demo.generate([generate(encoded(demo, clip), clip, options)]))
    return demo.vocabulary.decode(hypothesis.tokens).strip()


def output(encoding: Encoded) -> npt.NDArray[Any]:
    """The bare numbers."""
    assert isinstance(encoding, Ct2Encoded)
    return encoding.output


def test_says_what_the_demo_model_can_do(demo: Ct2Backend) -> None:
    """Capabilities come from the files: ninety-nine languages, windows of 10 s, a warning."""
    able = demo.capabilities
    assert (able.model, able.backend, able.device) == ("demo", "faster_whisper", "cpu")
    assert {"en", "de", "es"} < able.languages
    assert len(able.languages) == 99
    assert able.tasks == frozenset(Task)
    assert able.longest_window_s == 10.0
    assert able.full_context_s == 30.0
    assert "demonstration" in able.note


def test_reads_the_sentences(demo: Ct2Backend, sentences: list[Clip]) -> None:
    """Short contexts and direct calls read what the model can read: at most one in 24 differs."""
    read = [text(demo, clip) for clip in sentences]
    assert sum(a != clip.text for a, clip in zip(read, sentences, strict=True)) <= 1


@pytest.mark.parametrize("beam_size", [1, 5])
def test_a_window_alone_or_in_a_batch_gives_the_same_tokens(
    demo: Ct2Backend, sentences: list[Clip], beam_size: int
) -> None:
    """The law of batches: neighbours change nothing, neither a token nor a bit of a score."""
    clips, options = sentences[4:12], DecodeOptions(beam_size=beam_size)
    alone = [encoded(demo, clip) for clip in clips]
    together = good(demo.encode([Encode(whole(clip.samples), CONTEXT_S) for clip in clips]))
    assert len(together) == 8
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(output(a), output(b))
    works = [generate(e, clip, options) for e, clip in zip(together, clips, strict=True)]
    hypotheses = good(demo.generate(works))
    assert hypotheses == [good(demo.generate([work]))[0] for work in works]
    assert len({hypothesis.tokens for hypothesis in hypotheses}) == 8


def test_languages_alone_or_in_a_batch_are_the_same(
    demo: Ct2Backend, sentences: list[Clip]
) -> None:
    """Detection keeps the law of batches too."""
    works = [DetectLanguage(encoded(demo, clip)) for clip in sentences[4:12]]
    alone = [good(demo.detect_language([work]))[0] for work in works]
    assert good(demo.detect_language(works)) == alone


def test_detects_the_language_of_every_sentence(demo: Ct2Backend, sentences: list[Clip]) -> None:
    """Each is recognised with certainty."""
    works = [DetectLanguage(encoded(demo, clip)) for clip in sentences]
    heard = good(demo.detect_language(works))
    assert [language.code for language in heard] == [clip.language for clip in sentences]
    assert min(language.probability for language in heard) > 0.9


def test_detects_among_candidates(demo: Ct2Backend, sentences: list[Clip]) -> None:
    """The likeliest of those allowed, with its own small share; neighbours keep their own sets."""
    german = encoded(demo, next(clip for clip in sentences if clip.language == "de"))
    sets = [(), ("en", "de"), ("es", "en"), ("fr",)]
    works = [DetectLanguage(german, candidates) for candidates in sets]
    assert len({demo.batch_key(work) for work in works}) == 1
    free, among, without, only = good(demo.detect_language(works))
    assert free == among
    assert free.code == "de"
    assert without.code in {"es", "en"}
    assert without.probability < 0.1
    assert only.code == "fr"


def aligned(demo: Ct2Backend, clip: Clip) -> tuple[Align, list[TokenTime]]:
    """The true tokens of a clip with the times at which the model heard them."""
    tokens = tuple(demo.vocabulary._encode(clip.text))
    language = Language(clip.language or "en", 1.0)
    duration = whole(clip.samples).duration
    work = Align(encoded(demo, clip), language, Task.TRANSCRIBE, tokens, duration)
    return work, good(demo.align([work]))[0]


def test_every_token_has_a_time_within_the_window(demo: Ct2Backend, sentences: list[Clip]) -> None:
    """As many times as tokens, in order, none behind the end of the audio."""
    for clip in sentences:
        work, times = aligned(demo, clip)
        assert len(times) == len(work.tokens)
        borders = [border for time in times for border in (time.start, time.end)]
        assert borders == sorted(borders)
        assert 0 <= borders[0] <= borders[-1] <= work.duration
        assert all(0 <= time.probability <= 1 for time in times)


@pytest.mark.parametrize("n_samples", [1, 100, 320, 800])
def test_every_token_has_a_time_in_the_shortest_window(
    demo: Ct2Backend, sentences: list[Clip], n_samples: int
) -> None:
    """Audio shorter than an encoder position still has room for a time per token."""
    window = whole(sentences[0].samples[8000 : 8000 + n_samples])
    (encoding,) = good(demo.encode([Encode(window, CONTEXT_S)]))
    work = Align(encoding, Language("en", 1.0), Task.TRANSCRIBE, (300, 301), window.duration)
    (times,) = good(demo.align([work]))
    assert len(times) == 2
    assert all(0 <= time.start <= time.end <= window.duration for time in times)


def test_token_times_alone_or_in_a_batch_are_the_same(
    demo: Ct2Backend, sentences: list[Clip]
) -> None:
    """Alignment keeps the law of batches too."""
    pairs = [aligned(demo, clip) for clip in sentences if clip.language == "de"]
    assert len({demo.batch_key(work) for work, _ in pairs}) == 1
    assert good(demo.align([work for work, _ in pairs])) == [times for _, times in pairs]


def test_words_end_where_they_were_spoken(demo: Ct2Backend, sentences: list[Clip]) -> None:
    """Word ends lie by the true ones: measured 52 ms apart in the median, 135 ms at p90."""
    errors: list[float] = []
    for clip in sentences:
        work, times = aligned(demo, clip)
        segment = Segment(0.0, 0.0, clip.text, work.tokens, 0.0, 0.0, 0.0, 0.0)
        (timed,) = with_words([segment], times, demo.vocabulary, work.language.code)
        words = timed.words or ()
        assert [word.text.strip() for word in words] == [word for word, _ in clip.words]
        errors += [abs(a.end - b) for a, (_, b) in zip(words, clip.words, strict=True)]
    assert np.median(errors) < 0.08
    assert np.percentile(errors, 90) < 0.2


def test_work_shares_a_call_only_where_the_runtime_allows_it(
    demo: Ct2Backend, sentences: list[Clip]
) -> None:
    """Kind, context, prompt length and call-wide options part calls; words and language do not."""
    encoding = encoded(demo, sentences[0])
    longer = good(demo.encode([Encode(whole(sentences[0].samples), 7.5)]))[0]
    plain = generate(encoding, sentences[0])
    apart: list[Work] = [
        plain,
        generate(longer, sentences[0]),
        generate(encoding, sentences[0], DecodeOptions(prompt="Peter")),
        generate(encoding, sentences[0], DecodeOptions(beam_size=1)),
        generate(encoding, sentences[0], DecodeOptions(max_new_tokens=9)),
        replace(plain, temperature=0.2),
        DetectLanguage(encoding),
        Encode(whole(sentences[0].samples), CONTEXT_S),
    ]
    assert len({demo.batch_key(work) for work in apart}) == len(apart)
    translated = generate(encoding, sentences[8], DecodeOptions(task=Task.TRANSLATE))
    assert demo.batch_key(translated) == demo.batch_key(plain)
    assert len(good(demo.generate([plain, translated]))) == 2


@pytest.mark.parametrize(
    "options",
    [
        DecodeOptions(prompt="Anna sings at home."),
        DecodeOptions(hotwords="Oscar, picture"),
    ],
)
def test_prompts_keep_the_model_working(
    demo: Ct2Backend, sentences: list[Clip], options: DecodeOptions
) -> None:
    """Text before the start of transcript steers; it never drowns the answer."""
    assert text(demo, sentences[0], options) == sentences[0].text


def test_a_prompt_of_any_length_leaves_room_for_an_answer(
    demo: Ct2Backend, sentences: list[Clip]
) -> None:
    """The longest prompt that is let through still fits the decoder, answer included."""
    options = DecodeOptions(prompt="Anna sings at home. " * 200, hotwords="Oscar " * 300)
    work = generate(encoded(demo, sentences[0]), sentences[0], options)
    assert len(demo.vocabulary.previous_text(options)) == 224
    assert len(good(demo.generate([work]))) == 1


def test_a_prompt_steers(demo: Ct2Backend, sentences: list[Clip]) -> None:
    """The model sees the prompt: its scores are others than without."""
    encoding = encoded(demo, sentences[0])
    scores = {
        good(demo.generate([generate(encoding, sentences[0], options)]))[0].avg_logprob
        for options in (
            DecodeOptions(),
            DecodeOptions(prompt="Maria"),
            DecodeOptions(hotwords="Peter works"),
        )
    }
    assert len(scores) == 3


@pytest.mark.parametrize("prompt", ["", "one two three four five six seven eight " * 8])
@pytest.mark.parametrize("bound", [1, 2, 5, 8])
def test_the_length_of_an_answer_is_bounded(
    demo: Ct2Backend, clips: list[Clip], bound: int, prompt: str
) -> None:
    """No more than one token beyond the bound, whatever the prompt; CTranslate2 counts with it."""
    long = next(clip for clip in clips if "long" in clip.file)
    (encoding,) = good(demo.encode([Encode(whole(long.samples), 15.0)]))
    options = DecodeOptions(prompt=prompt, max_new_tokens=bound)
    (hypothesis,) = good(demo.generate([generate(encoding, long, options)]))
    assert bound <= len(hypothesis.tokens) <= bound + 1


def test_hotter_is_a_sample_of_its_own(demo: Ct2Backend, sentences: list[Clip]) -> None:
    """Above temperature 0 the answer is drawn and says how hot it was."""
    work = replace(generate(encoded(demo, sentences[0]), sentences[0]), temperature=0.4)
    (hypothesis,) = good(demo.generate([work]))
    assert hypothesis.temperature == 0.4
    assert hypothesis.tokens


@pytest.mark.parametrize("file", ["silence.flac", "noise.flac"])
def test_nothing_is_written_where_nobody_speaks(
    demo: Ct2Backend, clips: list[Clip], file: str
) -> None:
    """The model says that there is no speech, and writes none."""
    clip = next(clip for clip in clips if clip.file == file)
    (encoding,) = good(demo.encode([Encode(whole(clip.samples), 15.0)]))
    (hypothesis,) = good(demo.generate([generate(encoding, clip)]))
    assert demo.vocabulary.decode(hypothesis.tokens) == ""
    assert hypothesis.no_speech_prob > 0.9


def test_never_encodes_to_as_many_positions_as_mel_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """CTranslate2 would take such an output for features and encode it again."""
    monkeypatch.setattr(models, "CONTEXTS_S", (1.6, 5.0, 30.0))
    found = find_model(DEMO)
    card = ModelCard(shortest_context_s=1.0)
    assert card.contexts_s == (1.6, 5.0, 30.0)
    backend = Ct2Backend(ModelFiles(DEMO, found.directory, card), device="cpu")
    assert backend.capabilities.contexts_s == (5.0, 30.0)


@pytest.mark.parametrize(
    ("device", "compute_type"), [("cpu", "int3"), ("toaster", "auto"), ("cpu", "float16")]
)
def test_what_the_machine_cannot_do_is_said_in_one_line(device: str, compute_type: str) -> None:
    """A wrong device or number format is no traceback."""
    with pytest.raises(ModelUnavailable, match="Model 'demo' cannot be loaded: ") as refusal:
        Ct2Backend(find_model(DEMO), device=device, compute_type=compute_type)
    assert "\n" not in refusal.value.message
    assert str(find_model(DEMO).directory) not in refusal.value.message


def test_frees_the_weights() -> None:
    """After closing, the runtime holds nothing any more."""
    backend = Ct2Backend(find_model(DEMO), device="cpu")
    backend.close()
    assert not backend._model.model_is_loaded
