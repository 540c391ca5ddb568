import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from whisperlive_hybrid.backends.registry import check_installed, load_backend
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.errors import ModelUnavailable


@pytest.mark.parametrize(
    ("backend", "model"), [("faster_whisper", "demo"), ("openvino", "openvino"), ("fake", "demo")]
)
def test_a_backend_is_chosen_by_its_name(
    backend: str, model: str, openvino_directory: Path
) -> None:
    """And says which it is, with as many workers as there are threads."""
    name = str(openvino_directory) if model == "openvino" else model
    loaded = load_backend(load_settings(backend=backend, model=name, threads=2, device="cpu"))
    assert (loaded.capabilities.backend, loaded.capabilities.workers) == (backend, 2)
    loaded.close()


def test_a_runtime_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator reads what to install."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelUnavailable) as refusal:
        load_backend(load_settings(backend="openvino", model="demo"))
    assert "pip install 'whisperlive-hybrid-server[openvino]'" in refusal.value.message
    assert "\n" not in refusal.value.message


def test_a_runtime_that_is_installed_is_not_imported_to_find_out() -> None:
    """Looking is cheap."""
    assert find_spec("mailbox") is not None
    sys.modules.pop("mailbox", None)
    check_installed("mailbox", extra="mail")
    assert "mailbox" not in sys.modules


def test_a_backend_that_is_not_there_yet_says_so() -> None:
    """Its name is known to the settings only."""
    with pytest.raises(ModelUnavailable, match="not part of this version"):
        load_backend(load_settings(backend="tensorrt"))
