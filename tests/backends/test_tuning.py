import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from whisperlive_hybrid.backends.tuning import tune_process
tune_process()
from whisperlive_hybrid.backends.silero import SileroVad
SileroVad()
"""


def test_no_library_talks_about_us(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry, which leaves a session's id in TMPDIR, does not begin."""
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environment["TMPDIR"] = str(tmp_path)
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
