"""The Hugging Face hub as a source of models.

The hub's own client lists the files and makes their URLs, so its variables apply (`HF_ENDPOINT`,
`HF_TOKEN`, `HF_HOME`, proxies). The download itself is here, since the client deletes a file whose
download is interrupted and begins again (huggingface_hub 1.0 and later).
"""

import fnmatch
import hashlib
import os
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from whisperlive_hybrid.models.carriers import SourceFailed, compute_sha256
from whisperlive_hybrid.models.formats import ModelFormat
from whisperlive_hybrid.system import run_in_daemon_thread

REACH_S: Final = 5.0
"""Timeout in seconds for listing a model's files, name resolution included."""

_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})
"""Values of variables that the hub's client takes for yes."""

_NOT_FOUND: Final = frozenset({401, 403, 404})
"""Statuses of the hub for repositories that do not exist, are private, or are gated."""


@dataclass(frozen=True, slots=True)
class _RemoteFile:
    """A file of a commit on the hub."""

    name: str
    size: int
    sha256: str | None
    """The digest in the hub's listing, which only large files have."""
    blob_id: str
    """The Git id of the content; the name of a partial download has it too."""
    url: str


def is_offline() -> bool:
    """Return whether the variables of the hub's client forbid the network."""
    given = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return given.upper() in _TRUE


def find_cached(hub_id: str, revision: str | None, form: ModelFormat) -> Path | None:
    """Return the directory of a complete model in the hub's cache, which programs share."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 (slow to load)
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 (slow to load)

    for commit in dict.fromkeys((revision or "main", "main")):
        try:
            found = try_to_load_from_cache(hub_id, form.weights[0], revision=commit)
        except HFValidationError:  # not a valid name on the hub
            return None
        # The client that filled the cache may have been stopped between two files.
        if isinstance(found, str) and not form.list_missing_from_hub(Path(found).parent):
            return Path(found).parent
    return None


def fetch(hub_id: str, revision: str | None, form: ModelFormat, into: Path) -> Path:
    """Download the files of a model and return the directory below `into` where they are.

    An interrupted download continues where it stopped. Raises `SourceFailed`, after at most
    `REACH_S` if the hub cannot be reached, and `OSError` if the files cannot be written.
    """
    parts, files = into / "parts", into / "files"
    parts.mkdir(parents=True, exist_ok=True)
    files.mkdir(exist_ok=True)
    for file in _list_files(hub_id, revision, form):
        target, part = files / file.name, parts / f"{file.name}.{file.blob_id}"
        if not _is_complete(file, target):  # from an earlier attempt
            _download(file, part)
            part.replace(target)
    return files


def _request_listing(hub_id: str, revision: str | None) -> Any:  # noqa: ANN401 (`ModelInfo`, slow to load)
    """Return the hub's listing of a repository; raises `SourceFailed`."""
    from huggingface_hub import HfApi  # noqa: PLC0415 (slow to load)
    from huggingface_hub.errors import (  # noqa: PLC0415 (slow to load)
        HfHubHTTPError,
        HFValidationError,
    )

    try:
        # HTTP clients have a timeout for each phase of an attempt, and name resolution without a
        # network takes longer than all of them. So the thread is abandoned after the timeout.
        return run_in_daemon_thread(
            lambda: HfApi().model_info(
                hub_id, revision=revision, files_metadata=True, timeout=REACH_S
            ),
            "hub-listing",
        ).result(REACH_S)
    except Exception as error:  # of several libraries, for one outcome
        if isinstance(error, TimeoutError):
            reason = f"did not answer within {REACH_S:g} s"
        elif isinstance(error, HFValidationError):
            reason = f"has no {hub_id!r}"
        elif isinstance(error, HfHubHTTPError):
            status = error.response.status_code
            reason = f"answered {status}"
            if status in _NOT_FOUND:
                reason += f": there is no {hub_id!r}, or it needs a token (HF_TOKEN)"
        else:
            reason = f"cannot be reached ({type(error).__name__})"
        raise SourceFailed(f"the Hugging Face hub {reason}") from error


def _list_files(hub_id: str, revision: str | None, form: ModelFormat) -> list[_RemoteFile]:
    """Return the files of a model in this format, small ones first; raises `SourceFailed`."""
    from huggingface_hub import hf_hub_url  # noqa: PLC0415 (slow to load)

    listing = _request_listing(hub_id, revision)
    # Without directories, so that no name leads out of the target directory.
    files = {f.rfilename: f for f in listing.siblings or () if "/" not in f.rfilename}
    for pattern in (*form.weights, *form.hub_files):
        if not fnmatch.filter(files, pattern):
            raise SourceFailed(
                f"{hub_id!r} on the Hugging Face hub has no {pattern}: it is not in {form.name}'s "
                "format"
            )
    patterns = (*form.hub_files, *form.hub_extras)
    selected = [
        _RemoteFile(
            name,
            file.size or 0,
            file.lfs.sha256 if file.lfs else None,
            file.blob_id or "",
            hf_hub_url(hub_id, name, revision=listing.sha),
        )
        for name, file in files.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]
    return sorted(selected, key=lambda file: file.size)


def _download(file: _RemoteFile, part: Path) -> None:
    """Complete `part`; reconnect as long as each connection adds bytes. Raises `SourceFailed`."""
    done = part.stat().st_size if part.exists() else 0
    while done < file.size or not part.exists():
        failure = _append(file, part, done)
        before, done = done, part.stat().st_size
        if failure is not None and done <= before:
            reason = str(failure).strip() or type(failure).__name__
            raise SourceFailed(
                f"the Hugging Face hub failed ({file.name}: {reason.splitlines()[0][:200]})"
            ) from failure
        if failure is None:
            break
    if not _is_complete(file, part):
        part.unlink()  # or the next attempt would continue it
        raise SourceFailed(f"{file.name} is not what the Hugging Face hub lists")


def _append(file: _RemoteFile, part: Path, done: int) -> Exception | None:
    """Append the file's bytes from `done` on; return the error that ended the transfer, or None."""
    from huggingface_hub import constants, get_session  # noqa: PLC0415 (slow to load)
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # noqa: PLC0415 (slow to load)
        build_hf_headers,  # documented, but not exported by name
    )

    # In a compressed body, bytes could not be counted and ranges not be requested.
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    limit_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
    try:
        with (
            part.open("ab") as written,
            get_session().stream("GET", file.url, headers=headers, timeout=limit_s) as response,
        ):
            response.raise_for_status()
            if response.status_code != HTTPStatus.PARTIAL_CONTENT:  # it is the whole file
                written.truncate(0)
            # In blocks as received: of blocks of a fixed size, a broken connection loses the last.
            for block in response.iter_bytes():
                written.write(block)
                if written.tell() > file.size:
                    break
    except OSError:  # of the disk: the client's errors are of other types
        raise
    except Exception as error:  # noqa: BLE001 (of several libraries, for one outcome)
        return error
    return None


def _is_complete(file: _RemoteFile, local: Path) -> bool:
    """Return whether a file on this disk has the size and digest in the hub's listing."""
    if not local.is_file() or local.stat().st_size != file.size:
        return False
    if file.sha256:
        return compute_sha256(local) == file.sha256
    # Small files are listed with their Git id only (gitformat-pack, "blob").
    digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    digest.update(local.read_bytes())
    return digest.hexdigest() == file.blob_id
