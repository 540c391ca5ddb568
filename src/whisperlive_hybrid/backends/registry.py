"""The name of a backend to a loaded one."""

from importlib.util import find_spec

from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.model_formats import format_for
from whisperlive_hybrid.models import ModelFiles, find_model


def load_backend(settings: Settings, files: ModelFiles | None = None) -> Backend:
    """Load a model, the first one by default, with the chosen runtime.

    Raises `ModelUnavailable` with one line that says why. A runtime is imported only when it is
    chosen: each is heavy.
    """
    match settings.backend:
        case "faster_whisper":
            from whisperlive_hybrid.backends.ct2 import Ct2Backend  # noqa: PLC0415

            return Ct2Backend(
                files or _first_model(settings),
                device=settings.device,
                compute_type=settings.compute_type,
                workers=settings.worker_threads,
            )
        case "openvino":
            check_installed("openvino", extra="openvino")
            from whisperlive_hybrid.backends.ov import OpenVinoBackend  # noqa: PLC0415

            return OpenVinoBackend(
                files or _first_model(settings),
                device=settings.device,
                compute_type=settings.compute_type,
                workers=settings.worker_threads,
            )
        case "fake":
            from whisperlive_hybrid.backends.fake import FakeBackend  # noqa: PLC0415

            return FakeBackend(workers=settings.worker_threads)
        case "tensorrt":
            from whisperlive_hybrid.backends.trt import TensorRtBackend  # noqa: PLC0415
            from whisperlive_hybrid.backends.trt_runner import check_tensorrt  # noqa: PLC0415

            check_tensorrt()
            return TensorRtBackend(
                files or _first_model(settings),
                device=settings.device,
                compute_type=settings.compute_type,
                workers=settings.worker_threads,
            )


def check_installed(package: str, *, extra: str) -> None:
    """Raise `ModelUnavailable` if `package`, which `extra` of ours brings, is not there."""
    if find_spec(package) is None:
        raise ModelUnavailable(
            f"Backend {extra!r} needs the package {package}: "
            f"pip install 'whisperlive-hybrid-server[{extra}]'."
        )


def _first_model(settings: Settings) -> ModelFiles:
    return find_model(settings.model, settings.model_card, format_for(settings.backend))
