import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from trt_double.installed import tensorrt_llm_installed

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
    loaded = load_backend(load_settings(backend=backend, model=name, threads=2, device="cpu").model)
    assert (loaded.capabilities.backend, loaded.capabilities.workers) == (backend, 2)
    loaded.close()


def test_a_runtime_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator reads what to install."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelUnavailable) as refusal:
        load_backend(load_settings(backend="openvino", model="demo").model)
    assert "pip install 'whisperlive-hybrid-server[openvino]'" in refusal.value.message
    assert "\n" not in refusal.value.message


def test_a_runtime_that_is_installed_is_not_imported_to_find_out() -> None:
    """Looking is cheap."""
    assert find_spec("mailbox") is not None
    sys.modules.pop("mailbox", None)
    check_installed("mailbox", extra="mail")
    assert "mailbox" not in sys.modules


def test_tensorrt_is_loaded_with_what_the_operator_has_installed(tensorrt_directory: Path) -> None:
    """It is not an extra: the installed version is used, with a thread for the CPU's part."""
    settings = load_settings(backend="tensorrt", model=str(tensorrt_directory), threads=8)
    with tensorrt_llm_installed():
        loaded = load_backend(settings.model)
    assert (loaded.capabilities.backend, loaded.capabilities.workers) == ("tensorrt", 2)
    loaded.close()


def test_tensorrt_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator reads which version to install, before anything is looked for."""
    monkeypatch.setitem(sys.modules, "tensorrt_llm", None)
    with pytest.raises(ModelUnavailable) as refusal:
        load_backend(load_settings(backend="tensorrt", model="/no/such/directory").model)
    assert "needs the package tensorrt_llm" in refusal.value.message
    assert "pip install tensorrt_llm==1.2.1" in refusal.value.message
    assert "\n" not in refusal.value.message
