"""A batch without a server: the demo model on clips."""

import shutil
from pathlib import Path

import anyio
import numpy as np
import pytest
from paths import CLIPS
from wav_files import write_wav

from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.fake import FakeBackend
from whisperlive_hybrid.cli.batch.formats import BatchRequest, OutputFormat, Texts
from whisperlive_hybrid.cli.batch.inputs import plan_items
from whisperlive_hybrid.cli.batch.local import transcribe_locally
from whisperlive_hybrid.cli.batch.report import Outcome, Progress
from whisperlive_hybrid.config import FileSettings
from whisperlive_hybrid.errors import Unsupported, WhisperLiveError
from whisperlive_hybrid.models.files import demo_model
from whisperlive_hybrid.types import DecodeOptions

Heard = tuple[list[Progress], list[Outcome]]


def read(directory: Path, options: DecodeOptions, backend: Backend | None = None) -> Heard:
    """Have everything in a directory read."""
    progress: list[Progress] = []
    outcomes: list[Outcome] = []

    def take(outcome: Outcome) -> bool:
        outcomes.append(outcome)
        return True

    backend = backend or Ct2Backend(demo_model(), device="cpu")
    items = plan_items([str(directory)], takes_urls=False)
    request = BatchRequest(options, (OutputFormat.TXT,))
    anyio.run(transcribe_locally, backend, FileSettings(), items, request, progress.append, take)
    return progress, outcomes


def test_recordings_are_read_one_after_another(tmp_path: Path) -> None:
    """In their order, with news; what is no audio, or too short for a server too, is told."""
    shutil.copy(CLIPS / "en-0.flac", tmp_path / "a.flac")
    (tmp_path / "b.wav").write_text("this is no audio")
    (tmp_path / "c.wav").write_bytes(write_wav(np.zeros(800, np.float32)))
    shutil.copy(CLIPS / "en-1.flac", tmp_path / "d.flac")
    progress, outcomes = read(tmp_path, DecodeOptions(language="en"))
    results = {outcome.item.name: outcome.result for outcome in outcomes}
    failures = {
        name: result.message
        for name, result in results.items()
        if isinstance(result, WhisperLiveError)
    }
    assert list(results) == ["a", "b", "c", "d"]
    assert "could not be decoded" in failures["b"]
    assert "too short" in failures["c"]
    assert isinstance(results["a"], Texts)
    assert results["a"].by_format == {OutputFormat.TXT: "Oscar buys the picture.\n"}
    last = progress[-1]
    assert last.item.name == "d"
    assert last.total is not None
    assert 0 < last.done <= last.total
    assert all(outcome.state == outcome.item.source.read_state() for outcome in outcomes)


def test_a_wish_that_the_model_cannot_fulfil_is_refused_once(tmp_path: Path) -> None:
    """For the whole batch, before any recording is opened."""
    (tmp_path / "a.wav").touch()
    with pytest.raises(Unsupported, match="does not know the language 'fr'"):
        read(tmp_path, DecodeOptions(language="fr"), FakeBackend())
