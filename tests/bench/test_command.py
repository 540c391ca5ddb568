"""The command line of the benchmark."""

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from whisperlive_hybrid.bench.command import bench_app
from whisperlive_hybrid.errors import BadRequest


def test_a_server_must_be_named(clip_folder: Path) -> None:
    """Without --url and --serve the fault says which option is missing."""
    result = CliRunner().invoke(bench_app, ["live", "--clips", str(clip_folder)])
    assert isinstance(result.exception, BadRequest)
    assert "or use --serve" in result.exception.message


def test_the_command_loads_nothing_heavy() -> None:
    """The options alone need neither PyAV nor websockets."""
    program = (
        "import sys, whisperlive_hybrid.bench.command; "
        "sys.exit(bool({'av', 'websockets', 'ctranslate2'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_files_need_one_server(clip_folder: Path) -> None:
    """Neither none nor two: --serve or --http-url."""
    for options in ([], ["--serve", "--http-url", "http://127.0.0.1:1"]):
        result = CliRunner().invoke(bench_app, ["files", "--clips", str(clip_folder), *options])
        assert isinstance(result.exception, BadRequest)
        assert "or use --serve" in result.exception.message
