"""The trials over the fake backend, made short-sighted, and over the demo model."""

import json
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from paths import CLIPS

from whisperlive_hybrid.backends.base import Backend, Encode, Encoded, Generate
from whisperlive_hybrid.backends.fake import EnergyVad, FakeBackend, FakeEncoded, pause, speak
from whisperlive_hybrid.backends.whisper.encoder_output import EncoderOutput
from whisperlive_hybrid.cli.calibrate import (
    Calibration,
    Finding,
    Trial,
    as_table,
    calibrate,
    recordings_in,
    reference_of,
    subject,
    what_is_missing,
)
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.errors import BadAudio, BadRequest, Unsupported
from whisperlive_hybrid.media.limits import MediaLimits
from whisperlive_hybrid.models.files import CONTEXTS_S, ModelCard, demo_model
from whisperlive_hybrid.types import (
    SAMPLE_RATE,
    DecodeOptions,
    Hypothesis,
    Language,
    Samples,
    Window,
    WindowSpan,
)

pytestmark = pytest.mark.anyio

ENGLISH = DecodeOptions(language="en")


@dataclass(slots=True)
class ShortSighted(FakeBackend):
    """In contexts under `needs_s` it loses the last word of a window, or doubts all of it."""

    needs_s: float = 0.0
    doubts: bool = False

    def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
        """See less."""
        return [
            replace(each, words=each.words[:-1])
            if isinstance(each, FakeEncoded) and each.context_s < self.needs_s and not self.doubts
            else each
            for each in FakeBackend.encode(self, batch)
        ]

    def generate(self, batch: Sequence[Generate]) -> list[Hypothesis | Exception]:
        """Believe less."""
        return [
            replace(read, avg_logprob=-2.0)
            if isinstance(read, Hypothesis)
            and self.doubts
            and work.encoded.context_s < self.needs_s
            else read
            for work, read in zip(batch, FakeBackend.generate(self, batch), strict=True)
        ]


def recording(file: Path, *pieces: Samples) -> Path:
    """A WAV file of 16 bits."""
    samples = np.concatenate(pieces)
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return file


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """Ten utterances of 2.5 s with pauses between them, whose windows fit into 5 s."""
    utterances = [piece for _ in range(10) for piece in (speak(range(1, 8)), pause(3.57))]
    return recording(tmp_path / "spoken.wav", *utterances)


async def tried(backend: Backend, *files: Path) -> Calibration:
    """Calibrate in English."""
    told: list[str] = []
    done = await calibrate(backend, MediaLimits(), files, ENGLISH, told.append, EnergyVad())
    assert [_number(line) for line in told] == [30, 20, 15, 10, 7.5, 5]
    return done


async def test_a_model_that_loses_nothing_may_use_the_shortest(spoken: Path) -> None:
    """Every context reads the same, so the cheapest is the one."""
    done = await tried(FakeBackend(contexts_s=CONTEXTS_S), spoken)
    assert done.shortest_safe_s == 5.0
    assert [finding.difference for finding in done.found] == [0.0] * 6
    assert [finding.trial.windows for finding in done.found] == [10] * 6
    assert [finding.trial.in_shortest for finding in done.found] == [10] * 6
    assert done.duration_s == pytest.approx(61.0, abs=0.2)
    assert 36 < done.speech_s < 50


async def test_a_context_that_no_window_fits_into_is_not_tried(tmp_path: Path) -> None:
    """Nothing was lost in 7.5 s, but nothing was read in them either."""
    utterances = [piece for _ in range(10) for piece in (speak(range(1, 21)), pause(2.5))]
    done = await tried(
        FakeBackend(contexts_s=CONTEXTS_S), recording(tmp_path / "long.wav", *utterances)
    )
    assert [finding.trial.in_shortest for finding in done.found] == [0, 0, 10, 10, 10, 10]
    assert all(finding.is_safe for finding in done.found)
    assert done.shortest_safe_s == 10.0


async def test_a_context_that_loses_words_is_too_short(spoken: Path) -> None:
    """The shortest that loses none is found, and the others tell how much they lose."""
    done = await tried(ShortSighted(contexts_s=CONTEXTS_S, needs_s=10.0), spoken)
    assert done.shortest_safe_s == 10.0
    lost = pytest.approx([1 / 7, 1 / 7, 0, 0, 0, 0])
    assert [finding.difference for finding in done.found] == lost


async def test_a_context_that_is_read_again_is_too_short(spoken: Path) -> None:
    """Texts are equal then, since the full context mends them, at the price of both."""
    done = await tried(ShortSighted(contexts_s=CONTEXTS_S, needs_s=15.0, doubts=True), spoken)
    assert done.shortest_safe_s == 15.0
    assert [finding.trial.doubted for finding in done.found] == [10, 10, 10, 0, 0, 0]
    assert [finding.difference for finding in done.found] == [0.0] * 6


async def test_references_decide_where_there_are_any(spoken: Path) -> None:
    """A short context that writes what was said is right, whatever the full one writes."""
    spoken.with_suffix(".txt").write_text(" ".join(["w1 w2 w3 w4 w5 w6"] * 10))
    done = await tried(ShortSighted(contexts_s=CONTEXTS_S, needs_s=10.0), spoken)
    assert done.shortest_safe_s == 5.0
    rates = [finding.error_rate for finding in done.found]
    assert rates == pytest.approx([0.0, 0.0, 1 / 6, 1 / 6, 1 / 6, 1 / 6])


async def test_short_contexts_are_tried_in_the_languages_that_are_spoken(spoken: Path) -> None:
    """As the server does with the card: until a language is known, a window gets all the context.

    The fake is sure of English after its first window.
    """
    contexts_s: list[float] = []

    class Noting(FakeBackend):
        """Note the context of every window."""

        def encode(self, batch: Sequence[Encode]) -> list[Encoded | Exception]:
            """Encode as the fake does."""
            contexts_s.extend(work.context_s for work in batch)
            return FakeBackend.encode(self, batch)

    backend = Noting(contexts_s=(10.0, 30.0), language=Language("en", 1.0))
    done = await calibrate(backend, MediaLimits(), [spoken], DecodeOptions(), _ignore, EnergyVad())
    assert done.languages == ("en",)
    assert contexts_s == [30.0] * 10 + [30.0] + [10.0] * 9


async def test_a_model_without_shorter_contexts_is_refused(spoken: Path) -> None:
    """Such as one whose graph has a fixed length: there is nothing to try."""
    with pytest.raises(Unsupported, match="in 30 s only"):
        await tried(FakeBackend(contexts_s=(30.0,)), spoken)


async def test_the_weights_are_freed_once_and_at_the_end(spoken: Path) -> None:
    """All trials share them."""
    fake = FakeBackend(contexts_s=CONTEXTS_S)
    await tried(fake, spoken)
    assert fake.is_closed


async def test_what_is_no_audio_is_named(spoken: Path) -> None:
    """One line says which of many files is at fault."""
    notes = spoken.with_name("notes.wav")
    notes.write_text("this is no audio")
    with pytest.raises(BadAudio, match=r"notes\.wav: "):
        await calibrate(
            FakeBackend(contexts_s=CONTEXTS_S),
            MediaLimits(),
            [spoken, notes],
            ENGLISH,
            _ignore,
            EnergyVad(),
        )


async def test_little_speech_is_not_enough(spoken: Path) -> None:
    """Half a minute says so; more says nothing."""
    done = await tried(FakeBackend(contexts_s=CONTEXTS_S), spoken)
    assert "44 s of speech" in (what_is_missing(done) or "")
    assert what_is_missing(replace(done, speech_s=60.0)) is None
    assert as_table(done).row_count == 6


async def test_the_demo_model_loses_nothing_in_five_seconds() -> None:
    """What its card says is what calibration finds, on the clips that the tests use."""
    clips = CLIPS
    files = 2 * sorted(clips.glob("en-[0-9].flac"))  # for as many windows as a verdict wants
    found = subject(load_settings(device="cpu").model, None)
    done = await calibrate(found.backend, MediaLimits(), files, ENGLISH, _ignore)
    assert done.shortest_safe_s == found.card.shortest_context_s == 5.0
    shortest, full = done.found[0], done.found[-1]
    assert shortest.trial.compute_s < full.trial.compute_s / 2


def test_audio_is_found_in_directories(tmp_path: Path) -> None:
    """What looks like audio in a directory and below, and whatever file is named; each once."""
    for name in ("b.wav", "a.FLAC", "a.txt", "deep/c.mp3", "deep/odd.audio"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    odd = tmp_path / "deep" / "odd.audio"
    names = [file.name for file in recordings_in([tmp_path, odd, tmp_path / "b.wav"])]
    assert names == ["a.FLAC", "b.wav", "c.mp3", "odd.audio"]
    with pytest.raises(BadRequest, match="no audio"):
        recordings_in([_empty(tmp_path)])


def test_a_reference_lies_beside_its_recording(tmp_path: Path) -> None:
    """The same name with .txt; without it nothing is known."""
    (tmp_path / "a.txt").write_text("Größe", encoding="utf-8")
    assert reference_of(tmp_path / "a.wav") == "Größe"
    assert reference_of(tmp_path / "b.wav") is None


def test_the_card_belongs_where_the_operator_says(tmp_path: Path) -> None:
    """--card, then the setting, then the model's directory; what the card said is kept."""
    option, setting = tmp_path / "option.json", tmp_path / "setting.json"
    demo = demo_model()
    assert subject(load_settings().model, None).file.parent == demo.directory
    assert subject(load_settings(model_card=setting).model, None).file == setting
    new = subject(load_settings(model_card=setting).model, option)
    assert (new.file, new.card) == (option, demo.card)
    new.write(found_safe(7.5, "de", "en"))
    written = json.loads(option.read_text(encoding="utf-8"))
    assert written == demo.card.model_dump(exclude_unset=True) | {
        "shortest_context_s": 7.5,
        "silent_tail": True,
        "short_context_languages": ["de", "en"],
    }
    option.write_text(json.dumps({"longest_window_s": 9}), encoding="utf-8")
    known = subject(load_settings().model, option)
    assert known.card == ModelCard(longest_window_s=9)
    assert known.backend.capabilities.longest_window_s == 9


@pytest.mark.parametrize(
    ("shortest_s", "languages", "changed"),
    [
        (7.5, ("nl",), {"short_context_languages": ["de", "en", "nl"]}),
        (
            10.0,
            ("nl",),
            {"shortest_context_s": 10.0, "short_context_languages": ["de", "en", "nl"]},
        ),
        (5.0, ("nl",), {"shortest_context_s": 5.0, "short_context_languages": ["nl"]}),
        (30.0, ("nl",), {}),
        (30.0, ("de",), {"short_context_languages": ["en"]}),
        (30.0, ("de", "en"), {"shortest_context_s": 30.0}),
    ],
)
def test_other_languages_keep_what_was_measured_for_them(
    tmp_path: Path, shortest_s: float, languages: tuple[str, ...], changed: dict[str, object]
) -> None:
    """A shorter context than theirs was not tried in them; a longer one is safe."""
    file = tmp_path / "card.json"
    card = {"shortest_context_s": 7.5, "silent_tail": True, "short_context_languages": ["de", "en"]}
    file.write_text(json.dumps(card), encoding="utf-8")
    subject(load_settings().model, file).write(found_safe(shortest_s, *languages))
    assert json.loads(file.read_text(encoding="utf-8")) == card | changed


def test_contexts_without_a_tail_say_nothing_of_those_with_one(tmp_path: Path) -> None:
    """Languages that were measured with it are measured anew, or get 30 s."""
    file = tmp_path / "card.json"
    card = {"shortest_context_s": 7.5, "silent_tail": True, "short_context_languages": ["de"]}
    file.write_text(json.dumps(card), encoding="utf-8")
    subject(load_settings().model, file, silent_tail=False).write(found_safe(10.0, "nl"))
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "shortest_context_s": 10.0,
        "silent_tail": False,
        "short_context_languages": ["nl"],
    }


def test_a_model_is_tried_with_a_silent_tail_where_it_can_have_one() -> None:
    """In every context and language, whatever its card has allowed so far."""
    with_tail, without = (
        subject(load_settings().model, None),
        subject(load_settings().model, None, silent_tail=False),
    )
    for tried, is_filled in ((with_tail, True), (without, False)):
        able = tried.backend.capabilities
        assert (able.contexts_s, able.short_context_languages) == (CONTEXTS_S, None)
        window = Window(speak([1]), (WindowSpan(0, 0, len(speak([1]))),))
        (encoded,) = tried.backend.encode([Encode(window, 5.0)])
        assert isinstance(encoded, EncoderOutput)
        assert (encoded.output.shape[1] == 1500) is is_filled
        assert tried.silent_tail is is_filled


def found_safe(shortest_s: float, *languages: str) -> Calibration:
    """A calibration in which `shortest_s` is the shortest context that loses nothing."""
    trial = Trial(shortest_s, (), windows=1, in_shortest=1, doubted=0, compute_s=1.0)
    finding = Finding(trial, difference=0.0, error_rate=None, is_safe=True)
    return Calibration((finding,), 100.0, 90.0, languages)


def _empty(directory: Path) -> Path:
    empty = directory / "empty"
    empty.mkdir()
    return empty


def _number(line: str) -> float:
    (number,) = (word for word in line.split() if word[0].isdigit())
    return float(number)


def _ignore(_: str) -> None:
    """Nobody wants to hear what comes next."""
