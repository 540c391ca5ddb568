"""What others wrote and the page brings along is what they released."""

import hashlib
import json
from pathlib import Path

import pytest

import whisperlive_hybrid

VENDOR = Path(whisperlive_hybrid.__file__).parent / "server" / "web" / "vendor"
HERE = Path(__file__).parent
RELEASED = HERE / "node_modules" / "wavesurfer.js"

SHA256 = {
    "wavesurfer.esm.js": "079f3b142f37737f975b03ea8fd18652a316dc2120a2629aeca0844a0c08f2b1",
    "LICENSE.txt": "0fc992dc27cc34dde78bfeb024b4cadff6320f0dcbee2f1228efaeb533ca1364",
}
"""Of wavesurfer.js 8.0.1, taken from npm."""


@pytest.mark.parametrize("name", SHA256)
def test_the_waveform_is_as_released(name: str) -> None:
    """Nobody has changed a byte of it, or of its licence."""
    content = (VENDOR / "wavesurfer" / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256[name]


def test_its_version_is_told() -> None:
    """Beside it, and the same that the tests install to compare."""
    wanted = json.loads((HERE / "package.json").read_text())["devDependencies"]["wavesurfer.js"]
    assert f"wavesurfer.js {wanted}," in (VENDOR / "wavesurfer" / "VERSION.txt").read_text()


@pytest.mark.skipif(not RELEASED.is_dir(), reason="`make install-test` could not install tests/web")
def test_npm_has_the_same() -> None:
    """The package whose checksum npm has verified holds these very files."""
    assert (VENDOR / "wavesurfer" / "wavesurfer.esm.js").read_bytes() == (
        RELEASED / "dist" / "wavesurfer.esm.js"
    ).read_bytes()
    assert (VENDOR / "wavesurfer" / "LICENSE.txt").read_bytes() == (
        RELEASED / "LICENSE"
    ).read_bytes()
