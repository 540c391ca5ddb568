"""The examples of docs/openai.md, run as they are written."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from paths import ROOT

NODE_MODULES = ROOT / "tests" / "node" / "node_modules"
PAGE = ROOT / "docs" / "openai.md"


@dataclass(frozen=True)
class Example:
    """A block of code and the output that the page shows behind it."""

    language: str
    code: str
    output: str


EXAMPLES = [
    Example(*found)
    for found in re.findall(
        r"```(sh|python|js)\n(.*?)```\n\n```text\n(.*?)```",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL,
    )
]


def command(example: Example, directory: Path) -> list[str]:
    """How a reader would run it."""
    if example.language == "sh":
        return ["bash", "-euc", example.code]
    file = directory / f"example.{'py' if example.language == 'python' else 'mjs'}"
    file.write_text(example.code, encoding="utf-8")
    return [sys.executable if example.language == "python" else "node", str(file)]


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=[f"{n} {each.language}" for n, each in enumerate(EXAMPLES)]
)
def test_examples(example: Example, speech_server: str, tmp_path: Path) -> None:
    """Each prints what the page says; only the address is another one."""
    needs = {"sh": "curl", "python": sys.executable, "js": "node"}[example.language]
    if shutil.which(needs) is None or (needs == "node" and not NODE_MODULES.is_dir()):
        pytest.skip(f"{needs} or its packages are not installed here")
    shutil.copy(ROOT / "tests" / "clips" / "en-long-0.flac", tmp_path / "talk.flac")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    here = Example(
        example.language,
        example.code.replace("http://localhost:8080", speech_server),
        example.output,
    )
    done = subprocess.run(
        command(here, tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, example.output), done.stderr


def test_every_example_is_run() -> None:
    """None was overlooked because it is written in another way."""
    blocks = re.findall(r"```(?:sh|python|js)\n", PAGE.read_text(encoding="utf-8"))
    assert len(EXAMPLES) == len(blocks) == 5
