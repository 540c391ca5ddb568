import pytest

from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend
from whisperlive_hybrid.errors import ModelUnavailable
from whisperlive_hybrid.models import files
from whisperlive_hybrid.models.files import DEMO, ModelCard, ModelFiles, demo_model


def test_never_encodes_to_as_many_positions_as_mel_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """CTranslate2 would take such an output for features and encode it again."""
    monkeypatch.setattr(files, "CONTEXTS_S", (1.6, 5.0, 30.0))
    found = demo_model()
    card = ModelCard(shortest_context_s=1.0)
    assert card.contexts_s == (1.6, 5.0, 30.0)
    backend = Ct2Backend(ModelFiles(DEMO, found.directory, card), device="cpu")
    assert backend.capabilities.contexts_s == (5.0, 30.0)


@pytest.mark.parametrize(
    ("device", "compute_type", "expected"),
    [
        ("cpu", "int3", "auto, bfloat16, float32, int8."),
        ("cpu", "float16", "WHISPERLIVE_COMPUTE_TYPE='float16'"),
        ("toaster", "auto", "toaster"),
        ("cuda", "auto", "no NVIDIA GPU can be used here"),
        ("gpu", "auto", "WHISPERLIVE_DEVICE=gpu is Intel's"),
    ],
)
def test_what_the_machine_cannot_do_is_said_in_one_line(
    device: str, compute_type: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong device or number format is no traceback, and the allowed values are named.

    Processors differ in their types of number, so this one is made up.
    """
    types = {"float32", "int8", "bfloat16"}
    monkeypatch.setattr("ctranslate2.get_supported_compute_types", lambda _: types)
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 0)
    with pytest.raises(ModelUnavailable, match="Model 'demo' cannot be loaded: ") as refusal:
        Ct2Backend(demo_model(), device=device, compute_type=compute_type)
    assert "\n" not in refusal.value.message
    assert expected in refusal.value.message
    assert str(demo_model().directory) not in refusal.value.message


def test_the_numbers_of_this_machine_are_taken() -> None:
    """On any processor: int8 by default, and float32."""
    assert Ct2Backend(demo_model(), device="cpu").capabilities.compute_type.startswith("int8")
    wanted = Ct2Backend(demo_model(), device="cpu", compute_type="float32")
    assert wanted.capabilities.compute_type == "float32"


def test_frees_the_weights() -> None:
    """After closing, the runtime holds nothing any more."""
    backend = Ct2Backend(demo_model(), device="cpu")
    backend.close()
    assert not backend._model.model_is_loaded
