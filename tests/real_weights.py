"""Real Whisper weights and real speech for tests, or a skip that CI counts as a failure."""

import os
from pathlib import Path
from typing import NoReturn

import pytest
from paths import ROOT

from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.models.store import ModelStore


def installed_model(name: str) -> Path | None:
    """Return the directory of a real model such as "base", None where it is not on this machine.

    `make real-models` downloads those that tests use.
    """
    found = ModelStore(load_settings().model.models_dir).find(name)
    return found.directory if found else None


def real_model(name: str) -> Path:
    """Return the directory of a real model; see `lacking` for where there is none."""
    return installed_model(name) or lacking(f"no weights of Whisper {name}")


def real_speech() -> Path:
    """Return the directory of recordings and manifest.jsonl; see `lacking` for where it is missing.

    `SPEECH_DIR` names it; by default it lies beside the repository.
    """
    directory = Path(os.environ.get("SPEECH_DIR") or ROOT.parent / "shared" / "speech").resolve()
    if not (directory / "manifest.jsonl").is_file():
        lacking("no real speech: set SPEECH_DIR")
    return directory


def lacking(what: str) -> NoReturn:
    """Skip the test; fail it where `WHISPERLIVE_REAL=required`, as in CI."""
    if os.environ.get("WHISPERLIVE_REAL") == "required":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
