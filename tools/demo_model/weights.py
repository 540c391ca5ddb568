"""The demo model's weights, read from its Hugging Face directory with numpy alone."""

import json
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

SOURCE: Final = Path(__file__).with_name("hf")
CARD: Final = SOURCE.parents[2] / "src/whisperlive_hybrid/assets/demo/whisperlive.json"

Weights = dict[str, npt.NDArray[np.float32]]


def read_safetensors(file: Path) -> Weights:
    """Read all tensors of a float32 file: a length, a JSON header, then the numbers."""
    content = file.read_bytes()
    n_header = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n_header])
    header.pop("__metadata__", None)
    weights: Weights = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"{name} is {entry['dtype']}, not F32")
        begin, end = (8 + n_header + offset for offset in entry["data_offsets"])
        numbers = np.frombuffer(content[begin:end], np.float32)
        weights[name] = numbers.reshape(entry["shape"])
    return weights
