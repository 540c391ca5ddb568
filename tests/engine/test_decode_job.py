from dataclasses import replace

from whisperlive_hybrid.backends.base import Align, DetectLanguage, Encode, Generate
from whisperlive_hybrid.backends.fake import FakeBackend, FakeEncoded, FakeVocabulary, pause
from whisperlive_hybrid.engine.decode_job import WindowDecoder
from whisperlive_hybrid.types import (
    DecodeOptions,
    DecodeResult,
    Hypothesis,
    Language,
    Task,
    TokenTime,
    Window,
    WindowSpan,
)

ABLE = FakeBackend().capabilities
VOCABULARY = FakeVocabulary()
MARK = VOCABULARY.timestamp_begin
ENGLISH = DecodeOptions(language="en", temperatures=(0.0, 0.2, 0.4))
ENCODED = FakeEncoded((), 5.0)
FULL = FakeEncoded((), 30.0)


def window(seconds: float = 2.0) -> Window:
    """A window of silence: no model will look at it."""
    samples = pause(seconds)
    return Window(samples, (WindowSpan(0, 0, len(samples)),))


def hypothesis(*tokens: int, avg_logprob: float = -0.1, no_speech_prob: float = 0.0) -> Hypothesis:
    """What a model might write at temperature 0."""
    return Hypothesis(tokens, avg_logprob, no_speech_prob, 0.0)


LOOP = hypothesis(MARK, *[7] * 60, MARK + 50)
GUESS = hypothesis(MARK, 8, MARK + 50, avg_logprob=-2.0)
WORSE_GUESS = hypothesis(MARK, 9, MARK + 50, avg_logprob=-3.0)
GOOD = hypothesis(MARK + 5, 1, 2, MARK + 50)


def begun(
    options: DecodeOptions = ENGLISH, encoded: FakeEncoded = ENCODED
) -> tuple[WindowDecoder, Generate]:
    """A job of 2 s in a known language, up to its first generate."""
    job = WindowDecoder(window(), options, ABLE, VOCABULARY)
    first = job.first()
    assert isinstance(first, Encode)
    work = job.on_encoded(first, encoded)
    assert isinstance(work, Generate)
    return job, work


def retried(job: WindowDecoder, work: Generate, rejected: Hypothesis) -> Generate:
    """The generate that follows a hypothesis that was not believed."""
    after = job.on_generated(work, rejected)
    assert isinstance(after, Generate)
    return after


def read(answer: object) -> list[str]:
    """The texts of a reading."""
    assert isinstance(answer, DecodeResult)
    return [segment.text for segment in answer.segments]


def test_begins_with_the_shortest_context_that_is_safe() -> None:
    """The encoder hears the speech and the silence that the model needs behind it."""
    for seconds, context_s in [(2.0, 5.0), (4.5, 5.0), (4.6, 10.0), (9.6, 30.0), (30.0, 30.0)]:
        work = WindowDecoder(window(seconds), ENGLISH, ABLE, VOCABULARY).first()
        assert isinstance(work, Encode)
        assert work.context_s == context_s


def test_a_language_that_was_told_is_not_detected() -> None:
    """The caller's word counts as certain."""
    _, work = begun()
    assert (work.language, work.temperature) == (Language("en", 1.0), 0.0)
    assert work.encoded is ENCODED


def test_a_model_of_one_language_detects_nothing() -> None:
    """There is no choice to make."""
    able = replace(ABLE, languages=frozenset({"de"}))
    job = WindowDecoder(window(), DecodeOptions(), able, VOCABULARY)
    work = job.on_encoded(Encode(window(), 5.0), ENCODED)
    assert isinstance(work, Generate)
    assert work.language == Language("de", 1.0)


def test_an_unknown_language_is_detected_first() -> None:
    """Detection and decoding read the same encoder output."""
    job = WindowDecoder(window(), DecodeOptions(), ABLE, VOCABULARY)
    detect = job.on_encoded(Encode(window(), 5.0), ENCODED)
    assert isinstance(detect, DetectLanguage)
    work = job.on_detected(detect, Language("de", 0.7))
    assert isinstance(work, Generate)
    assert (work.language, work.encoded) == (Language("de", 0.7), ENCODED)


def test_detection_keeps_to_the_candidates() -> None:
    """The backend is told which languages are possible."""
    job = WindowDecoder(window(), DecodeOptions(candidates=("de", "en")), ABLE, VOCABULARY)
    detect = job.on_encoded(Encode(window(), 5.0), ENCODED)
    assert isinstance(detect, DetectLanguage)
    assert detect.candidates == ("de", "en")


def test_a_good_hypothesis_is_the_reading() -> None:
    """What is believed at once is answered at once."""
    job, work = begun()
    reading = job.on_generated(work, GOOD)
    assert read(reading) == [" w1 w2"]
    assert isinstance(reading, DecodeResult)
    assert reading.language == Language("en", 1.0)


def test_what_a_short_context_wrote_unbelievably_is_read_in_the_full_one() -> None:
    """A model that lost its footing gets all the context it was trained with, cold, and once."""
    job, work = begun()
    again = job.on_generated(work, LOOP)
    assert isinstance(again, Encode)
    assert again.context_s == ABLE.full_context_s
    full = job.on_encoded(again, FULL)
    assert isinstance(full, Generate)
    assert (full.temperature, full.encoded, full.language) == (0.0, FULL, work.language)
    assert retried(job, full, LOOP).temperature == 0.2


def test_a_guard_reads_again_in_the_full_context() -> None:
    """So does a loop that other words dilute, and more words than the time can hold."""
    loop = hypothesis(MARK, *range(100, 140), *[7, 8] * 8, MARK + 50)
    for wild in (loop, hypothesis(MARK, *range(100, 190), MARK + 50)):
        job, work = begun()
        again = job.on_generated(work, wild)
        assert isinstance(again, Encode)
        assert again.context_s == ABLE.full_context_s


def test_a_detected_language_is_kept_for_the_second_reading() -> None:
    """The full context is not asked again what the short one has answered."""
    job = WindowDecoder(window(), DecodeOptions(), ABLE, VOCABULARY)
    detect = job.on_encoded(Encode(window(), 5.0), ENCODED)
    assert isinstance(detect, DetectLanguage)
    work = job.on_detected(detect, Language("de", 0.7))
    assert isinstance(work, Generate)
    again = job.on_generated(work, GUESS)
    assert isinstance(again, Encode)
    full = job.on_encoded(again, FULL)
    assert isinstance(full, Generate)
    assert full.language == Language("de", 0.7)


def test_a_guess_that_is_not_believed_is_left_out() -> None:
    """An update may show nothing; it is never read twice, and a loop is never shown."""
    job, work = begun(replace(ENGLISH, is_guess=True))
    assert read(job.on_generated(work, LOOP)) == []


def test_what_is_not_believed_is_tried_hotter() -> None:
    """The ladder is climbed one step at a time over the encoder output that is there."""
    job, work = begun(encoded=FULL)
    second = retried(job, work, LOOP)
    third = retried(job, second, GUESS)
    assert [each.temperature for each in (work, second, third)] == [0.0, 0.2, 0.4]
    assert all(each.encoded is FULL for each in (second, third))
    assert read(job.on_generated(third, GOOD)) == [" w1 w2"]


def test_when_all_are_rejected_the_least_bad_is_kept() -> None:
    """A window with speech is never left empty: the likeliest text without a loop is shown."""
    job, work = begun(encoded=FULL)
    second = retried(job, work, WORSE_GUESS)
    third = retried(job, second, GUESS)
    assert read(job.on_generated(third, LOOP)) == [" w8"]


def test_a_window_without_speech_is_left_silent() -> None:
    """What was guessed into silence is not shown, at whatever temperature."""
    silence = hypothesis(MARK, 5, MARK + 9, avg_logprob=-2.0, no_speech_prob=0.9)
    job, work = begun()
    assert read(job.on_generated(work, silence)) == []
    job, work = begun(encoded=FULL)
    assert read(job.on_generated(retried(job, work, LOOP), silence)) == []


def test_text_without_words_is_an_empty_reading() -> None:
    """A model that writes nothing with confidence has read nothing."""
    job, work = begun(replace(ENGLISH, words=True))
    assert read(job.on_generated(work, hypothesis(MARK, MARK + 50))) == []


def test_without_a_temperature_nothing_is_read() -> None:
    """An empty ladder is an empty reading, not an endless wait."""
    job = WindowDecoder(window(), replace(ENGLISH, temperatures=()), ABLE, VOCABULARY)
    assert read(job.on_encoded(Encode(window(), 5.0), ENCODED)) == []


def test_words_are_aligned_in_what_was_believed() -> None:
    """Only the text tokens of the accepted hypothesis are aligned, on the same encoder output."""
    job, work = begun(replace(ENGLISH, words=True, task=Task.TRANSLATE), FULL)
    align = job.on_generated(
        retried(job, work, GUESS), hypothesis(MARK, 1, MARK + 10, MARK + 20, 2, 3, MARK + 60)
    )
    assert isinstance(align, Align)
    assert (align.tokens, align.duration) == ((1, 2, 3), 2.0)
    assert (align.language, align.task) == (Language("en", 1.0), Task.TRANSLATE)
    assert align.encoded is FULL
    times = [TokenTime(0.1, 0.2, 0.9), TokenTime(0.5, 0.7, 0.8), TokenTime(0.7, 1.1, 0.7)]
    reading = job.on_aligned(align, times)
    assert isinstance(reading, DecodeResult)
    assert read(reading) == [" w1", " w2 w3"]
    assert [(each.start, each.end) for each in reading.segments] == [(0.1, 0.2), (0.5, 1.1)]
    assert [len(each.words or ()) for each in reading.segments] == [1, 2]


def test_probabilities_come_from_alignment_and_leave_the_times_alone() -> None:
    """Without words a segment stays where its time marks put it."""
    said = hypothesis(MARK, 1, MARK + 10, MARK + 20, 2, 3, MARK + 60)
    job, work = begun(ENGLISH)
    plain = job.on_generated(work, said)
    job, work = begun(replace(ENGLISH, token_probabilities=True))
    align = job.on_generated(work, said)
    assert isinstance(align, Align)
    times = [TokenTime(0.1, 0.2, 0.9), TokenTime(0.5, 0.7, 0.8), TokenTime(0.7, 1.1, 0.7)]
    scored = job.on_aligned(align, times)
    assert isinstance(scored, DecodeResult)
    assert isinstance(plain, DecodeResult)
    assert [[each.probability for each in s.scored or ()] for s in scored.segments] == [
        [0.9],
        [0.8, 0.7],
    ]
    assert tuple(replace(each, scored=None) for each in scored.segments) == plain.segments


def test_the_callers_thresholds_decide() -> None:
    """A caller who believes guesses gets them at once."""
    lenient = replace(ENGLISH, thresholds=replace(ENGLISH.thresholds, avg_logprob=-5.0))
    job, work = begun(lenient)
    assert read(job.on_generated(work, GUESS)) == [" w8"]


def test_a_reading_tells_whether_it_was_doubted() -> None:
    """Whether it took more than one hypothesis, or a guess was left out; silence is no doubt."""
    silence = hypothesis(MARK, 5, MARK + 9, avg_logprob=-2.0, no_speech_prob=0.9)
    for options, answers, was_doubted in [
        (ENGLISH, [GOOD], False),
        (ENGLISH, [silence], False),
        (ENGLISH, [LOOP, GOOD], True),
        (replace(ENGLISH, is_guess=True), [LOOP], True),
        (replace(ENGLISH, temperatures=(0.0,)), [GUESS], True),
    ]:
        job, work = begun(options, FULL)
        *rejected, last = answers
        for each in rejected:
            work = retried(job, work, each)
        reading = job.on_generated(work, last)
        assert isinstance(reading, DecodeResult)
        assert reading.was_doubted is was_doubted


def test_knows_whether_it_must_tell_something_in_a_short_context() -> None:
    """Windows that need the full context anyway, and updates, say nothing about short ones."""
    for seconds, options, tries in [
        (2.0, ENGLISH, True),
        (9.6, ENGLISH, False),
        (2.0, replace(ENGLISH, is_guess=True), False),
    ]:
        assert (
            WindowDecoder(window(seconds), options, ABLE, VOCABULARY).tries_short_context is tries
        )


SPOKEN = ((0.2, 1.0), (1.4, 4.0))


def spoken_job(options: DecodeOptions = ENGLISH) -> tuple[WindowDecoder, Generate]:
    """A job of 5 s in which the detector found speech, up to its first generate."""
    samples = pause(5.0)
    window = Window(samples, (WindowSpan(0, 16_000, len(samples)),), SPOKEN)
    job = WindowDecoder(window, options, ABLE, VOCABULARY)
    first = job.first()
    assert isinstance(first, Encode)
    work = job.on_encoded(first, ENCODED)
    assert isinstance(work, Generate)
    return job, work


def test_what_a_model_leaves_unread_is_read_on() -> None:
    """From its last mark; the text of the rest is found at its place, and nothing is lost."""
    job, work = spoken_job()
    rest = job.on_generated(work, hypothesis(MARK + 10, 1, MARK + 50, MARK + 50))
    assert isinstance(rest, Encode)
    assert rest.window.duration == 5.0 - 1.2  # the lead-in before the next stretch of speech
    assert rest.window.speech is not None
    assert [round(time, 3) for time in rest.window.speech[0]] == [0.2, 2.8]
    work = generate_of(job.on_encoded(rest, ENCODED))
    reading = job.on_generated(work, hypothesis(MARK, 2, MARK + 140))
    assert isinstance(reading, DecodeResult)
    assert [(round(s.start, 3), round(s.end, 3), s.text) for s in reading.segments] == [
        (0.2, 1.0, " w1"),
        (1.2, 4.0, " w2"),
    ]
    assert reading.unread == ()


def test_words_of_the_rest_are_timed_on_the_clock_of_the_window() -> None:
    """Each part is aligned in its own audio."""
    job, work = spoken_job(replace(ENGLISH, words=True))
    align = job.on_generated(work, hypothesis(MARK + 10, 1, MARK + 50, MARK + 50))
    assert isinstance(align, Align)
    rest = job.on_aligned(align, [TokenTime(0.2, 0.9, 0.5)])
    assert isinstance(rest, Encode)
    align = job.on_generated(
        generate_of(job.on_encoded(rest, ENCODED)), hypothesis(MARK, 2, MARK + 140)
    )
    assert isinstance(align, Align)
    reading = job.on_aligned(align, [TokenTime(0.3, 0.8, 0.5)])
    assert isinstance(reading, DecodeResult)
    [first, second] = [word for segment in reading.segments for word in segment.words or ()]
    assert (first.start, first.end) == (0.2, 1.0)  # where the speech before the pause ends
    assert (round(second.start, 3), round(second.end, 3)) == (1.5, 2.0)


def test_a_stretch_that_stays_empty_is_tried_again_and_reported() -> None:
    """Nothing is taken for read because the model stopped."""
    job, work = spoken_job()
    rest = job.on_generated(work, hypothesis(MARK + 10, 1, MARK + 50, MARK + 50))
    assert isinstance(rest, Encode)
    again = generate_of(job.on_generated(generate_of(job.on_encoded(rest, ENCODED)), hypothesis()))
    assert again.temperature == 0.2
    reading = job.on_generated(again, hypothesis())
    assert isinstance(reading, DecodeResult)
    assert [segment.text for segment in reading.segments] == [" w1"]
    assert [(round(start, 3), round(end, 3)) for start, end in reading.unread] == [(1.4, 4.0)]


def test_a_model_that_stands_still_ends() -> None:
    """Its marks say that nothing was read, again and again."""
    job, work = spoken_job()
    reading = job.on_generated(work, hypothesis(MARK, 1, MARK, MARK))
    assert isinstance(reading, DecodeResult)
    assert reading.unread == SPOKEN


def test_an_end_mark_a_little_early_is_no_unread_speech() -> None:
    """Marks are set before the last sound of a word has faded."""
    job, work = spoken_job()
    assert read(job.on_generated(work, hypothesis(MARK + 10, 1, MARK + 180))) == [" w1"]


LONG = ((0.5, 6.0), (7.0, 12.0))


def long_job() -> tuple[WindowDecoder, Generate]:
    """A job of 13 s with two long stretches of speech, up to its first generate."""
    samples = pause(13.0)
    job = WindowDecoder(
        Window(samples, (WindowSpan(0, 0, len(samples)),), LONG), ENGLISH, ABLE, VOCABULARY
    )
    return job, generate_of(job.on_encoded(Encode(window(), 30.0), FULL))


def told(*words: int, end: float) -> Hypothesis:
    """A hypothesis of one segment that lasts to `end`, a part's time."""
    return hypothesis(MARK, *words, MARK + round(end * 50))


def test_a_segment_that_tells_too_little_is_read_again_between_its_pauses() -> None:
    """Three words for ten seconds of speech: sentences were passed over."""
    job, work = long_job()
    first = job.on_generated(work, told(1, 2, 3, end=13.0))
    assert isinstance(first, Encode)
    assert first.window.duration == 6.5
    second = job.on_generated(generate_of(job.on_encoded(first, FULL)), told(1, 2, 3, end=6.0))
    assert isinstance(second, Encode)
    assert second.window.speech == ((0.5, 5.5),)
    reading = job.on_generated(generate_of(job.on_encoded(second, FULL)), told(4, 5, end=5.5))
    assert isinstance(reading, DecodeResult)
    assert [(s.start, s.end, s.text) for s in reading.segments] == [
        (0.0, 6.0, " w1 w2 w3"),
        (6.5, 12.0, " w4 w5"),
    ]


def test_the_text_that_tells_more_is_kept() -> None:
    """Parts that tell less, or are not believed, take nothing away."""
    job, work = long_job()
    first = job.on_generated(work, told(1, 2, 3, end=13.0))
    assert isinstance(first, Encode)
    second = job.on_generated(generate_of(job.on_encoded(first, FULL)), told(1, end=6.0))
    assert isinstance(second, Encode)
    doubted = generate_of(job.on_encoded(second, FULL))
    again = retried(job, doubted, hypothesis(MARK, *range(4, 9), MARK + 50, avg_logprob=-2.0))
    assert read(job.on_generated(again, told(4, 5, 6, 7, 8, end=5.0))) == [" w1 w2 w3"]


def test_enough_words_are_not_read_again() -> None:
    """Nor is a guess, for which the final makes up."""
    job, work = long_job()
    assert len(read(job.on_generated(work, told(*range(1, 24), end=13.0)))) == 1
    samples = pause(13.0)
    guess = replace(ENGLISH, is_guess=True)
    job = WindowDecoder(
        Window(samples, (WindowSpan(0, 0, len(samples)),), LONG), guess, ABLE, VOCABULARY
    )
    work = generate_of(job.on_encoded(Encode(window(), 30.0), FULL))
    assert read(job.on_generated(work, told(1, 2, 3, end=13.0))) == [" w1 w2 w3"]


def generate_of(work: object) -> Generate:
    """The generate that a job asks for."""
    assert isinstance(work, Generate)
    return work


def talk(*speech: tuple[float, float]) -> Window:
    """A window with speech in these places, and half a second behind it."""
    samples = pause(speech[-1][1] + 0.5)
    return Window(samples, (WindowSpan(0, 0, len(samples)),), speech)


SEVERAL = replace(ENGLISH, switch_threshold=0.7)
TWO_STRETCHES = talk((0.5, 4.0), (4.4, 8.0))


def test_a_check_of_the_language_changes_nothing_else() -> None:
    """The window is read in the language that was told; the reading says what was detected."""
    job = WindowDecoder(window(), replace(ENGLISH, checks_language=True), ABLE, VOCABULARY)
    detect = job.on_encoded(Encode(window(), 5.0), ENCODED)
    assert isinstance(detect, DetectLanguage)
    work = job.on_detected(detect, Language("de", 0.99))
    assert isinstance(work, Generate)
    assert (work.language, work.encoded) == (Language("en", 1.0), ENCODED)
    answer = job.on_generated(work, GOOD)
    assert isinstance(answer, DecodeResult)
    assert (answer.language.code, answer.detected) == ("en", Language("de", 0.99))
    assert answer.segments[0].language is None


def test_a_short_window_is_read_in_its_language_if_that_is_sure() -> None:
    """Else in the one that was expected."""
    for probability, code in [(0.8, "de"), (0.6, "en")]:
        job = WindowDecoder(window(), SEVERAL, ABLE, VOCABULARY)
        detect = job.on_encoded(Encode(window(), 5.0), ENCODED)
        assert isinstance(detect, DetectLanguage)
        work = job.on_detected(detect, Language("de", probability))
        assert isinstance(work, Generate)
        assert work.language.code == code
        answer = job.on_generated(work, GOOD)
        assert isinstance(answer, DecodeResult)
        assert [each.language for each in answer.segments] == [code]
        assert answer.detected == Language("de", probability)


def test_a_language_that_needs_the_full_context_gets_it() -> None:
    """Although a shorter one was safe in the language that was expected."""
    able = replace(ABLE, short_context_languages=frozenset({"en"}))
    job = WindowDecoder(window(), SEVERAL, able, VOCABULARY)
    detect = job.on_encoded(Encode(window(), 5.0), ENCODED)
    assert isinstance(detect, DetectLanguage)
    again = job.on_detected(detect, Language("de", 0.9))
    assert isinstance(again, Encode)
    assert again.context_s == 30.0
    work = job.on_encoded(again, FULL)
    assert isinstance(work, Generate)
    assert work.language == Language("de", 0.9)


def surveyed(*found: Language) -> tuple[WindowDecoder, Encode]:
    """A job of two stretches in which these languages were detected, and what it encodes next."""
    job = WindowDecoder(TWO_STRETCHES, SEVERAL, ABLE, VOCABULARY)
    work: object = job.first()
    for language in found:
        assert isinstance(work, Encode)
        assert work.window.duration < 5.0
        detect = job.on_encoded(work, ENCODED)
        assert isinstance(detect, DetectLanguage)
        work = job.on_detected(detect, language)
    assert isinstance(work, Encode)
    return job, work


def test_a_window_in_two_languages_is_read_in_two_parts() -> None:
    """The second one in its place; the window is named by its first language."""
    job, first = surveyed(Language("en", 0.9), Language("de", 0.95))
    generate = job.on_encoded(first, ENCODED)
    assert isinstance(generate, Generate)
    assert generate.language.code == "en"
    second = job.on_generated(generate, hypothesis(MARK, 1, MARK + 200))
    assert isinstance(second, Encode)
    assert len(second.window.samples) + len(first.window.samples) == len(TWO_STRETCHES.samples)
    generate = job.on_encoded(second, ENCODED)
    assert isinstance(generate, Generate)
    assert generate.language.code == "de"
    answer = job.on_generated(generate, hypothesis(MARK, 2, MARK + 190))
    assert isinstance(answer, DecodeResult)
    assert [(each.text, each.language) for each in answer.segments] == [
        (" w1", "en"),
        (" w2", "de"),
    ]
    assert answer.segments[1].start == 4.2
    assert (answer.language.code, answer.last_language.code) == ("en", "de")
    assert answer.detected == Language("de", 0.95)


def test_a_window_in_one_language_is_read_whole() -> None:
    """Just as without the wish for several."""
    job, work = surveyed(Language("de", 0.9), Language("es", 0.5))
    assert work.window.samples.tolist() == TWO_STRETCHES.samples.tolist()
    generate = job.on_encoded(work, ENCODED)
    assert isinstance(generate, Generate)
    assert generate.language.code == "de"


def test_an_update_is_not_parted() -> None:
    """It must be there at once; the final reading tells better."""
    job = WindowDecoder(TWO_STRETCHES, replace(SEVERAL, is_guess=True), ABLE, VOCABULARY)
    work = job.first()
    assert isinstance(work, Encode)
    assert work.window is TWO_STRETCHES
