"""Paths of files that tests in several folders use."""

from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent
ROOT: Final = TESTS.parent
CLIPS: Final = TESTS / "clips"
