import json
from pathlib import Path

import numpy as np
import pytest
from demo_model.weights import read_safetensors


def test_numbers_are_read_as_they_were_written(tmp_path: Path) -> None:
    """A header of JSON and the bare numbers behind it; other types are refused."""
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    file = tmp_path / "model.safetensors"

    def write(header: dict[str, object]) -> None:
        text = json.dumps(header).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + numbers.tobytes())

    write({"__metadata__": {}, "a": entry})
    assert np.array_equal(read_safetensors(file)["a"], numbers)
    write({"a": {**entry, "dtype": "F16"}})
    with pytest.raises(ValueError, match="a is F16"):
        read_safetensors(file)
