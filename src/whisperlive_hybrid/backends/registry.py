"""The construction of a backend from the settings."""

from importlib.util import find_spec

from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.config import ModelSettings
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models.files import ModelFiles
from whisperlive_hybrid.models.formats import get_format
from whisperlive_hybrid.models.store import ModelStore, OnProgress, ignore_progress


def get_first_model(
    settings: ModelSettings, on_progress: OnProgress = ignore_progress
) -> ModelFiles:
    """Find or download the model of the settings; blocks, possibly for minutes.

    Raises `ModelUnavailable` with one line that says what to do.
    """
    # Before the model: nothing is downloaded for a backend that cannot run.
    check_runtime(settings)
    return ModelStore(settings.models_dir).get(
        settings.model, get_format(settings.backend), settings.model_card, on_progress
    )


def load_backend(
    settings: ModelSettings,
    files: ModelFiles | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Backend:
    """Load a model, by default that of the settings, on the backend of the settings.

    `on_progress` is called while the model of the settings is downloaded. Raises
    `ModelUnavailable` with a reason of one line.
    """
    # A runtime is imported only when it is used: each needs much memory and time.
    if settings.backend == "fake":
        from whisperlive_hybrid.backends.fake import FakeBackend  # noqa: PLC0415

        return FakeBackend(workers=settings.worker_threads)
    files = files or get_first_model(settings, on_progress)
    device, compute_type = settings.device, settings.compute_type
    workers = settings.worker_threads
    match settings.backend:
        case "faster_whisper":
            from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend  # noqa: PLC0415

            return Ct2Backend(files, device=device, compute_type=compute_type, workers=workers)
        case "openvino":
            from whisperlive_hybrid.backends.openvino.backend import OpenVinoBackend  # noqa: PLC0415

            return OpenVinoBackend(files, device=device, compute_type=compute_type, workers=workers)
        case "tensorrt":
            from whisperlive_hybrid.backends.tensorrt.backend import TensorRtBackend  # noqa: PLC0415

            return TensorRtBackend(files, device=device, compute_type=compute_type, workers=workers)


def check_runtime(settings: ModelSettings) -> None:
    """Raise `ModelUnavailable` if the runtime of the backend is not installed."""
    if settings.backend == "openvino":
        check_installed("openvino", extra="openvino")
    elif settings.backend == "tensorrt":
        from whisperlive_hybrid.backends.tensorrt.runner import check_tensorrt  # noqa: PLC0415

        check_tensorrt()


def check_installed(package: str, *, extra: str) -> None:
    """Raise `ModelUnavailable` unless `package`, which our `extra` installs, is installed."""
    if find_spec(package) is None:
        raise ModelUnavailable(
            f"Backend {extra!r} needs the package {package}: "
            f"pip install 'whisperlive-hybrid-server[{extra}]'."
        )
