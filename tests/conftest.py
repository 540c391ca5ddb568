"""Fixtures of all tests: the event loop, the clips and the demo model."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

from paths import CLIPS, TESTS

from whisperlive_hybrid.system import tune_process

# Like an entry point, before numpy, CTranslate2 and OpenVINO are loaded: tests run in a process as
# users do, numpy uses no second core, and OpenVINO reports nothing.
tune_process()

import pytest
from demo_model.to_openvino import write_demo
from hypothesis import settings
from real_weights import real_model, real_speech
from speech_clips import Clip, read_clips
from trt_double.directory import write_engines
from trt_double.installed import tensorrt_llm_installed

from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.backends.openvino.backend import OpenVinoBackend
from whisperlive_hybrid.backends.tensorrt.backend import TensorRtBackend
from whisperlive_hybrid.models.files import DEMO, demo_model, load_model_files
from whisperlive_hybrid.models.formats import OPENVINO, TENSORRT

# Tests use the model in the package unless they name another, and never download one.
os.environ |= {"FASTERWHISPER_MODEL": "demo", "HF_HUB_OFFLINE": "1"}

# Examples have no deadline, since a shared machine may be slow. CI uses the same examples in every
# run, so that a failure is due to the change; elsewhere they are random.
settings.register_profile("project", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("project")


FIRST = ("web", "server", "cli", "docs")
"""Folders whose tests start servers and browsers."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow files first, so that several processes end at about the same time."""
    root = TESTS

    def order(item: pytest.Item) -> int:
        folder = item.path.relative_to(root).parts[0]
        return FIRST.index(folder) if folder in FIRST else len(FIRST)

    items.sort(key=order)


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that the server runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def clip_folder() -> Path:
    """The committed clips."""
    return CLIPS


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """The synthetic recordings of tests/clips with their texts."""
    return read_clips(CLIPS)


@pytest.fixture(scope="session")
def sentences(clips: list[Clip]) -> list[Clip]:
    """The clips of one sentence each."""
    return [clip for clip in clips if clip.words and "long" not in clip.file]


@pytest.fixture(scope="session")
def demo() -> Ct2Backend:
    """The demo model, loaded once."""
    return Ct2Backend(demo_model(), device="cpu")


@pytest.fixture(scope="session")
def openvino_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as OpenVINO files, converted once; tests must not change them."""
    directory = tmp_path_factory.mktemp("openvino") / DEMO
    write_demo(directory)
    return directory


@pytest.fixture(scope="session")
def demo_openvino(openvino_directory: Path) -> OpenVinoBackend:
    """The demo model on OpenVINO, loaded once."""
    return OpenVinoBackend(load_model_files(openvino_directory, form=OPENVINO), device="cpu")


@pytest.fixture(scope="session")
def tensorrt_directory(openvino_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as an engine directory for the fake TensorRT-LLM; tests must not change it."""
    directory = tmp_path_factory.mktemp("tensorrt") / DEMO
    write_engines(directory, openvino_directory)
    return directory


@pytest.fixture(scope="session")
def demo_tensorrt(tensorrt_directory: Path) -> TensorRtBackend:
    """The demo model on a fake TensorRT-LLM, or on a real one: see docs/backends.md."""
    if engine := os.environ.get("WHISPERLIVE_TEST_TRT_ENGINE"):
        with warnings.catch_warnings(action="ignore"):  # TensorRT-LLM's own, about its engines
            return TensorRtBackend(load_model_files(Path(engine), form=TENSORRT))
    with tensorrt_llm_installed():
        return TensorRtBackend(load_model_files(tensorrt_directory, form=TENSORRT))


@pytest.fixture(scope="session")
def real_model_dir() -> Callable[[str], Path]:
    """A function that returns the directory of a real model ("base", "tiny.en"), or skips."""
    return real_model


@pytest.fixture(scope="session")
def speech_dir() -> Path:
    """The directory of real recordings, or a skip."""
    return real_speech()
