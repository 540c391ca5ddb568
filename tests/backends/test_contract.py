"""The contract of every real backend, on the demo model in its own format.

For `tensorrt` that is a stand-in for the runtime, until WHISPERLIVE_TEST_TRT_ENGINE names engines.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import jiwer
import numpy as np
import numpy.typing as npt
import pytest
from speech_clips import Clip, whole_window

from whisperlive_hybrid.backends.base import Align, DetectLanguage, Encode, Encoded, Generate, Work
from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.fake import FakeEncoded
from whisperlive_hybrid.backends.openvino.backend import OpenVinoBackend
from whisperlive_hybrid.backends.tensorrt.backend import TensorRtBackend, TrtFeatures
from whisperlive_hybrid.backends.whisper.encoder_output import EncoderOutput
from whisperlive_hybrid.engine.decode_job import DecodeJob
from whisperlive_hybrid.engine.job import BatchFailed, Step, run_batch
from whisperlive_hybrid.models.files import demo_model, load_model_files
from whisperlive_hybrid.models.formats import OPENVINO
from whisperlive_hybrid.text.words import add_words
from whisperlive_hybrid.types import (
    DecodeOptions,
    DecodeResult,
    Language,
    Segment,
    Task,
    TokenTime,
    Urgency,
    join_text,
)

AligningBackend = Ct2Backend | OpenVinoBackend
"""Backends with token times."""

WhisperBackend = AligningBackend | TensorRtBackend

CONTEXT_S = 5.0
"""Holds every single sentence with the silence that the model needs behind it."""

T = TypeVar("T")


Pair = tuple[WhisperBackend, WhisperBackend]


@pytest.fixture
def demo_pair(backend: WhisperBackend, openvino_directory: Path) -> Iterator[Pair]:
    """A backend with one worker, and the same with two, which TensorRT's has from the start."""
    if isinstance(backend, TensorRtBackend):
        yield backend, backend
        return
    kind: type[AligningBackend] = type(backend)
    is_openvino = isinstance(backend, OpenVinoBackend)
    files = load_model_files(openvino_directory, form=OPENVINO) if is_openvino else demo_model()
    two = kind(files, device="cpu", workers=2)
    yield backend, two
    two.close()


FIXTURES = {
    "faster_whisper": "demo",
    "openvino": "demo_openvino",
    "tensorrt": "demo_tensorrt",
}


@pytest.fixture(params=["faster_whisper", "openvino", "tensorrt"])
def backend(request: pytest.FixtureRequest) -> WhisperBackend:
    """Each real backend with the demo model."""
    loaded: WhisperBackend = request.getfixturevalue(FIXTURES[request.param])
    return loaded


@pytest.fixture(params=["faster_whisper", "openvino"])
def aligning(request: pytest.FixtureRequest) -> AligningBackend:
    """Each of them that measures word times."""
    loaded: AligningBackend = request.getfixturevalue(FIXTURES[request.param])
    return loaded


def good(answers: list[T | Exception]) -> list[T]:
    """Answers of which none is an exception."""
    return [answer for answer in answers if not isinstance(answer, Exception)]


def encoded(backend: WhisperBackend, clip: Clip) -> Encoded:
    """The encoder output of a sentence by itself."""
    return good(backend.encode([Encode(whole_window(clip.samples), CONTEXT_S)]))[0]


def generate(encoding: Encoded, clip: Clip, options: DecodeOptions | None = None) -> Generate:
    """The work of reading a clip in its language."""
    language = Language(clip.language or "en", 1.0)
    return Generate(encoding, language, options or DecodeOptions(), 0.0)


def text(backend: WhisperBackend, clip: Clip, options: DecodeOptions | None = None) -> str:
    """Return the text of a clip."""
    (hypothesis,) = good(backend.generate([generate(encoded(backend, clip), clip, options)]))
    return backend.vocabulary.decode(hypothesis.tokens).strip()


def test_says_what_the_demo_model_can_do(backend: WhisperBackend) -> None:
    """Capabilities come from the files: ninety-nine languages, windows of 10 s, a warning."""
    capabilities = backend.capabilities
    assert capabilities.model == "demo"
    assert {"en", "de", "es"} < capabilities.languages
    assert len(capabilities.languages) == 99
    assert capabilities.tasks == frozenset(Task)
    assert capabilities.longest_window_s == 10.0
    assert capabilities.contexts_s == (5.0, 7.5, 10.0, 15.0, 20.0, 30.0)
    assert capabilities.prompts
    assert "demonstration" in capabilities.note


def test_says_whether_it_measures_words(backend: WhisperBackend, aligning: AligningBackend) -> None:
    """Word times and probabilities of tokens come with the attention, or not at all."""
    assert aligning.capabilities.word_times
    assert aligning.capabilities.token_probabilities
    capabilities = backend.capabilities
    assert (
        capabilities.word_times
        == capabilities.token_probabilities
        == (capabilities.backend != "tensorrt")
    )


def test_reads_the_sentences(backend: WhisperBackend, sentences: list[Clip]) -> None:
    """Short contexts and direct calls read what the model can read: at most one in 24 differs."""
    read = [text(backend, clip) for clip in sentences]
    assert sum(a != clip.text for a, clip in zip(read, sentences, strict=True)) <= 1


def tolerance(backend: WhisperBackend) -> float:
    """Return the allowed difference of scores in a batch: int8 sums are exact, others are not."""
    return {"int8": 0.0, "float32": 1e-4}.get(backend.capabilities.compute_type, 0.05)


def numbers(encoding: Encoded) -> npt.NDArray[np.float32]:
    """Return the array that a backend keeps for a window."""
    if isinstance(encoding, TrtFeatures):
        return encoding.features
    assert isinstance(encoding, EncoderOutput)
    output: npt.NDArray[np.float32] = encoding.output
    return output


@pytest.mark.parametrize("beam_size", [1, 5])
def test_a_window_alone_or_in_a_batch_gives_the_same_tokens(
    backend: WhisperBackend, sentences: list[Clip], beam_size: int
) -> None:
    """The law of batches: neighbours change no token and, but for rounding, no score."""
    clips, options = sentences[4:12], DecodeOptions(beam_size=beam_size)
    alone = [encoded(backend, clip) for clip in clips]
    together = good(
        backend.encode([Encode(whole_window(clip.samples), CONTEXT_S) for clip in clips])
    )
    assert len(together) == 8
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), rtol=0, atol=tolerance(backend))
    works = [generate(e, clip, options) for e, clip in zip(together, clips, strict=True)]
    hypotheses = good(backend.generate(works))
    by_themselves = [good(backend.generate([work]))[0] for work in works]
    assert [h.tokens for h in hypotheses] == [h.tokens for h in by_themselves]
    assert [h.avg_logprob for h in hypotheses] == pytest.approx(
        [h.avg_logprob for h in by_themselves], rel=0, abs=tolerance(backend)
    )
    assert len({hypothesis.tokens for hypothesis in hypotheses}) == 8


def test_languages_alone_or_in_a_batch_are_the_same(
    backend: WhisperBackend, sentences: list[Clip]
) -> None:
    """Detection keeps the law of batches too."""
    works = [DetectLanguage(encoded(backend, clip)) for clip in sentences[4:12]]
    alone = [good(backend.detect_language([work]))[0] for work in works]
    together = good(backend.detect_language(works))
    assert [language.code for language in together] == [language.code for language in alone]
    assert [language.probability for language in together] == pytest.approx(
        [language.probability for language in alone], rel=0, abs=tolerance(backend)
    )


def test_detects_the_language_of_every_sentence(
    backend: WhisperBackend, sentences: list[Clip]
) -> None:
    """Each is recognised with certainty."""
    works = [DetectLanguage(encoded(backend, clip)) for clip in sentences]
    n = backend.capabilities.generate_batch
    batches = [works[i : i + n] for i in range(0, len(works), n)]
    detected = [found for batch in batches for found in good(backend.detect_language(batch))]
    assert [language.code for language in detected] == [clip.language for clip in sentences]
    assert min(language.probability for language in detected) > 0.9


def test_detects_among_candidates(backend: WhisperBackend, sentences: list[Clip]) -> None:
    """The likeliest of those allowed, with its own small share; neighbours keep their own sets."""
    german = encoded(backend, next(clip for clip in sentences if clip.language == "de"))
    sets = [(), ("en", "de"), ("es", "en"), ("fr",)]
    works = [DetectLanguage(german, candidates) for candidates in sets]
    assert len({backend.batch_key(work) for work in works}) == 1
    free, among, without, only = good(backend.detect_language(works))
    assert free.code == among.code
    assert free.probability == pytest.approx(among.probability, rel=0, abs=tolerance(backend))
    assert free.code == "de"
    assert without.code in {"es", "en"}
    assert without.probability < 0.1
    assert only.code == "fr"


def aligned(backend: AligningBackend, clip: Clip) -> tuple[Align, list[TokenTime]]:
    """Return the true tokens of a clip with their times."""
    tokens = tuple(backend.vocabulary._encode(clip.text))
    language = Language(clip.language or "en", 1.0)
    duration = whole_window(clip.samples).duration
    work = Align(encoded(backend, clip), language, Task.TRANSCRIBE, tokens, duration)
    return work, good(backend.align([work]))[0]


def test_every_token_has_a_time_within_the_window(
    aligning: AligningBackend, sentences: list[Clip]
) -> None:
    """There are as many times as tokens, in order, none after the end of the audio."""
    for clip in sentences:
        work, times = aligned(aligning, clip)
        assert len(times) == len(work.tokens)
        borders = [border for time in times for border in (time.start, time.end)]
        assert borders == sorted(borders)
        assert 0 <= borders[0] <= borders[-1] <= work.duration
        assert all(0 <= time.probability <= 1 for time in times)


@pytest.mark.parametrize("n_samples", [1, 100, 320, 800])
def test_every_token_has_a_time_in_the_shortest_window(
    aligning: AligningBackend, sentences: list[Clip], n_samples: int
) -> None:
    """Audio shorter than an encoder position still has room for a time per token."""
    window = whole_window(sentences[0].samples[8000 : 8000 + n_samples])
    (encoding,) = good(aligning.encode([Encode(window, CONTEXT_S)]))
    work = Align(encoding, Language("en", 1.0), Task.TRANSCRIBE, (300, 301), window.duration)
    (times,) = good(aligning.align([work]))
    assert len(times) == 2
    assert all(0 <= time.start <= time.end <= window.duration for time in times)


def test_token_times_alone_or_in_a_batch_are_the_same(
    aligning: AligningBackend, sentences: list[Clip]
) -> None:
    """Alignment keeps the law of batches too."""
    pairs = [aligned(aligning, clip) for clip in sentences if clip.language == "de"]
    assert len({aligning.batch_key(work) for work, _ in pairs}) == 1
    together = good(aligning.align([work for work, _ in pairs]))
    for times, (_, alone) in zip(together, pairs, strict=True):
        assert [(time.start, time.end) for time in times] == [
            (time.start, time.end) for time in alone
        ]
        assert [time.probability for time in times] == pytest.approx(
            [time.probability for time in alone], rel=0, abs=tolerance(aligning)
        )


def test_words_end_where_they_were_spoken(aligning: AligningBackend, sentences: list[Clip]) -> None:
    """Word ends lie by the true ones: measured 52 ms apart in the median, 135 ms at p90."""
    errors: list[float] = []
    for clip in sentences:
        work, times = aligned(aligning, clip)
        segment = Segment(0.0, 0.0, clip.text, work.tokens, 0.0, 0.0, 0.0, 0.0)
        (timed,) = add_words([segment], times, aligning.vocabulary, work.language.code)
        words = timed.words or ()
        assert [word.text.strip() for word in words] == [word for word, _ in clip.words]
        errors += [abs(a.end - b) for a, (_, b) in zip(words, clip.words, strict=True)]
    assert np.median(errors) < 0.08
    assert np.percentile(errors, 90) < 0.2


def test_work_shares_a_call_only_where_the_runtime_allows_it(
    backend: WhisperBackend, sentences: list[Clip]
) -> None:
    """Kind, context, prompt length and call-wide options part calls; words and language do not."""
    encoding = encoded(backend, sentences[0])
    longer = good(backend.encode([Encode(whole_window(sentences[0].samples), 7.5)]))[0]
    plain = generate(encoding, sentences[0])
    apart: list[Work] = [
        plain,
        generate(longer, sentences[0]),
        generate(encoding, sentences[0], DecodeOptions(prompt="Peter")),
        generate(encoding, sentences[0], DecodeOptions(beam_size=1)),
        generate(encoding, sentences[0], DecodeOptions(max_new_tokens=9)),
        replace(plain, temperature=0.2),
        DetectLanguage(encoding),
        Encode(whole_window(sentences[0].samples), CONTEXT_S),
    ]
    assert len({backend.batch_key(work) for work in apart}) == len(apart)
    translated = generate(encoding, sentences[8], DecodeOptions(task=Task.TRANSLATE))
    assert backend.batch_key(translated) == backend.batch_key(plain)
    assert len(good(backend.generate([plain, translated]))) == 2


@pytest.mark.parametrize(
    "options",
    [
        DecodeOptions(prompt="Anna sings at home."),
        DecodeOptions(hotwords="Oscar, picture"),
    ],
)
def test_prompts_keep_the_model_working(
    backend: WhisperBackend, sentences: list[Clip], options: DecodeOptions
) -> None:
    """Text before the start of transcript steers; it never drowns the answer."""
    assert text(backend, sentences[0], options) == sentences[0].text


def test_a_prompt_of_any_length_leaves_room_for_an_answer(
    backend: WhisperBackend, sentences: list[Clip]
) -> None:
    """The longest prompt that is let through still fits the decoder, answer included."""
    options = DecodeOptions(prompt="Anna sings at home. " * 200, hotwords="Oscar " * 300)
    work = generate(encoded(backend, sentences[0]), sentences[0], options)
    assert len(backend.vocabulary.previous_text(options)) == 224
    assert len(good(backend.generate([work]))) == 1


def test_a_prompt_steers(backend: WhisperBackend, sentences: list[Clip]) -> None:
    """The model sees the prompt: its scores are others than without."""
    encoding = encoded(backend, sentences[0])
    scores = {
        good(backend.generate([generate(encoding, sentences[0], options)]))[0].avg_logprob
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
    backend: WhisperBackend, clips: list[Clip], bound: int, prompt: str
) -> None:
    """No more than one token beyond the bound, with any prompt; CTranslate2 counts with it."""
    long = next(clip for clip in clips if "long" in clip.file)
    (encoding,) = good(backend.encode([Encode(whole_window(long.samples), 15.0)]))
    options = DecodeOptions(prompt=prompt, max_new_tokens=bound)
    (hypothesis,) = good(backend.generate([generate(encoding, long, options)]))
    assert bound <= len(hypothesis.tokens) <= bound + 1


def test_hotter_is_a_sample_of_its_own(backend: WhisperBackend, sentences: list[Clip]) -> None:
    """Above temperature 0 the answer is drawn and says how hot it was."""
    work = replace(generate(encoded(backend, sentences[0]), sentences[0]), temperature=0.4)
    (hypothesis,) = good(backend.generate([work]))
    assert hypothesis.temperature == 0.4
    assert hypothesis.tokens


@pytest.mark.parametrize("file", ["silence.flac", "noise.flac"])
def test_silence_and_noise_give_no_text(
    backend: WhisperBackend, clips: list[Clip], file: str
) -> None:
    """The model says that there is no speech, and writes none."""
    clip = next(clip for clip in clips if clip.file == file)
    (encoding,) = good(backend.encode([Encode(whole_window(clip.samples), 15.0)]))
    (hypothesis,) = good(backend.generate([generate(encoding, clip)]))
    assert backend.vocabulary.decode(hypothesis.tokens) == ""
    assert hypothesis.no_speech_prob > 0.9


def test_translates(backend: WhisperBackend, sentences: list[Clip]) -> None:
    """German and Spanish become English: most words of the sixteen sentences are the right ones."""
    foreign = [clip for clip in sentences if clip.language != "en"]
    options = DecodeOptions(task=Task.TRANSLATE)
    read = [text(backend, clip, options) for clip in foreign]
    assert jiwer.wer([clip.english for clip in foreign], read) < 0.3


def test_one_bad_item_fails_alone(backend: WhisperBackend, sentences: list[Clip]) -> None:
    """The output of another backend is refused; the other items are decoded one by one."""
    works = [generate(encoded(backend, clip), clip) for clip in sentences[:3]]
    works[1] = replace(works[1], encoded=FakeEncoded((), CONTEXT_S))
    jobs = [
        DecodeJob(backend, whole_window(clip.samples), work.options, Urgency.SHORT_FILE)
        for clip, work in zip(sentences, works, strict=False)
    ]
    steps = [
        Step.of(job, job._task(work), number, Urgency.SHORT_FILE, 0.0)
        for number, (job, work) in enumerate(zip(jobs, works, strict=True))
    ]
    assert all(isinstance(failure, BatchFailed) for failure in run_batch(steps))
    first, bad, last = (run_batch([one.alone()])[0] for one in steps)
    assert isinstance(bad, Exception)
    for reading, clip in ((first, sentences[0]), (last, sentences[2])):
        assert isinstance(reading, DecodeResult)
        assert join_text(reading.segments) == clip.text


def test_calls_from_several_threads_do_not_meet(sentences: list[Clip], demo_pair: Pair) -> None:
    """Two workers on one set of weights answer as one does."""
    one, two = demo_pair
    expected = [text(one, clip) for clip in sentences[:8]]
    with ThreadPoolExecutor(max_workers=2) as pool:
        assert list(pool.map(lambda clip: text(two, clip), sentences[:8])) == expected
