from dataclasses import dataclass

import pytest

from whisperlive_hybrid.backends.openvino.loading import choose_device, choose_precision
from whisperlive_hybrid.errors import ModelUnavailable


@dataclass
class Machine:
    """The devices of a machine, by OpenVINO's names."""

    available_devices: list[str]


@pytest.mark.parametrize(
    ("device", "present", "chosen"),
    [
        ("auto", ["CPU"], "CPU"),
        ("auto", ["CPU", "GPU"], "CPU"),
        ("cpu", ["CPU", "GPU.0", "GPU.1"], "CPU"),
        ("gpu", ["CPU", "GPU.0", "GPU.1"], "GPU"),
    ],
)
def test_a_gpu_is_taken_only_when_asked_for(device: str, present: list[str], chosen: str) -> None:
    """It is untested, so auto is the CPU."""
    assert choose_device(Machine(present), device, "mine") == chosen


@pytest.mark.parametrize("device", ["cuda", "gpu", "npu"])
def test_a_device_that_is_not_there_is_one_line(device: str) -> None:
    """The message has the devices of the backend and those of the machine."""
    with pytest.raises(ModelUnavailable) as refusal:
        choose_device(Machine(["CPU", "NPU"]), device, "mine")
    assert f"not on {device!r}; this machine has cpu, npu." in refusal.value.message


@pytest.mark.parametrize(
    ("device", "compute_type", "chosen"),
    [
        ("CPU", "auto", "float32"),
        ("GPU", "auto", "float16"),
        ("CPU", "bfloat16", "bfloat16"),
    ],
)
def test_the_cpu_computes_in_full_precision(device: str, compute_type: str, chosen: str) -> None:
    """Unless something else is asked for: some CPUs would take bfloat16 of their own accord."""
    assert choose_precision(device, compute_type, "mine") == chosen


def test_a_precision_of_another_runtime_is_refused() -> None:
    """int8 is how weights are exported, not how sums are computed."""
    with pytest.raises(ModelUnavailable, match="float32, bfloat16, float16, not in 'int8'"):
        choose_precision("CPU", "int8", "mine")
