"""The Hugging Face hub as a source of models.

Files are listed and addressed by the hub's own client, so its variables hold (`HF_ENDPOINT`,
`HF_TOKEN`, `HF_HOME`, proxies). They are downloaded here, since that client deletes what it has of
a file when a download is interrupted, and begins anew (huggingface_hub 1.0 and later).
"""

import fnmatch
import hashlib
import os
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from whisperlive_hybrid.models.carriers import SourceFailed, sha256_of
from whisperlive_hybrid.models.formats import ModelFormat
from whisperlive_hybrid.system import run_in_daemon_thread

REACH_S: Final = 5.0
"""How long the hub may take to list a model's files, name resolution included, in seconds."""

_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})
"""What the hub's client takes for yes."""

_NOT_FOUND: Final = frozenset({401, 403, 404})
"""What the hub answers for repositories that do not exist, are private, or are gated."""


@dataclass(frozen=True, slots=True)
class _RemoteFile:
    """A file of a commit on the hub."""

    name: str
    size: int
    sha256: str | None
    """As the hub lists it, which it does for large files."""
    blob_id: str
    """Changes with the content, and names a download that may be continued."""
    url: str


def is_offline() -> bool:
    """Return whether the variables of the hub's client forbid the network."""
    given = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return given.upper() in _TRUE


def cached(hub_id: str, revision: str | None, form: ModelFormat) -> Path | None:
    """Return the directory of a model that this or another program has in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 (slow to load)
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 (slow to load)

    for commit in dict.fromkeys((revision or "main", "main")):
        try:
            found = try_to_load_from_cache(hub_id, form.weights[0], revision=commit)
        except HFValidationError:  # no name that the hub would give
            return None
        # The client may have been stopped between two files.
        if isinstance(found, str) and not form.missing_from_hub(Path(found).parent):
            return Path(found).parent
    return None


def fetch(hub_id: str, revision: str | None, form: ModelFormat, into: Path) -> Path:
    """Download the files of a model and return the directory below `into` where they are.

    An interrupted download goes on where it stopped. Raises `SourceFailed`, after at most `REACH_S`
    if the hub cannot be reached, and `OSError` if the files cannot be written.
    """
    parts, files = into / "parts", into / "files"
    parts.mkdir(parents=True, exist_ok=True)
    files.mkdir(exist_ok=True)
    for file in _listed(hub_id, revision, form):
        here, part = files / file.name, parts / f"{file.name}.{file.blob_id}"
        if not _is_whole(file, here):  # from an earlier attempt
            _download(file, part)
            part.replace(here)
    return files


def _listed(hub_id: str, revision: str | None, form: ModelFormat) -> list[_RemoteFile]:
    """List the files to download of a model, small ones first."""
    from huggingface_hub import HfApi, hf_hub_url  # noqa: PLC0415 (slow to load)
    from huggingface_hub.errors import (  # noqa: PLC0415 (slow to load)
        HfHubHTTPError,
        HFValidationError,
    )

    try:
        # The limits of HTTP clients hold for each phase of an attempt, and a name resolver without
        # a network takes longer than all of them. So the thread that asks is left behind.
        info = run_in_daemon_thread(
            lambda: HfApi().model_info(
                hub_id, revision=revision, files_metadata=True, timeout=REACH_S
            ),
            "hub-listing",
        ).result(REACH_S)
    except Exception as error:  # of several libraries; all mean that there is no list
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
    # Without directories, so that no name leads out of ours.
    files = {each.rfilename: each for each in info.siblings or () if "/" not in each.rfilename}
    for pattern in (*form.weights, *form.hub_files):
        if not fnmatch.filter(files, pattern):
            raise SourceFailed(
                f"{hub_id!r} on the Hugging Face hub has no {pattern}: it is not in {form.name}'s "
                "format"
            )
    patterns = (*form.hub_files, *form.hub_extras)
    found = [
        _RemoteFile(
            name,
            file.size or 0,
            file.lfs.sha256 if file.lfs else None,
            file.blob_id or "",
            hf_hub_url(hub_id, name, revision=info.sha),
        )
        for name, file in files.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]
    return sorted(found, key=lambda file: file.size)


def _download(file: _RemoteFile, part: Path) -> None:
    """Complete `part`; a connection that breaks is made anew as long as that brings bytes."""
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
    if not _is_whole(file, part):
        part.unlink()  # or the next attempt would go on with it
        raise SourceFailed(f"{file.name} is not what the Hugging Face hub lists")


def _append(file: _RemoteFile, part: Path, done: int) -> Exception | None:
    """Write what comes of a file behind its first `done` bytes; return what ended it early."""
    from huggingface_hub import constants, get_session  # noqa: PLC0415 (slow to load)
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # noqa: PLC0415 (slow to load)
        build_hf_headers,  # documented, but not exported by name
    )

    # Of a compressed body neither the bytes could be counted nor a range be asked for.
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
            # As they come: of blocks of one size, the last would be lost with the connection.
            for block in response.iter_bytes():
                written.write(block)
                if written.tell() > file.size:
                    break
    except OSError:  # of the disk: the client's own errors are none
        raise
    except Exception as error:  # noqa: BLE001 (of several libraries; all mean that it broke off)
        return error
    return None


def _is_whole(file: _RemoteFile, here: Path) -> bool:
    """Return whether a file on this disk is what the hub lists."""
    if not here.is_file() or here.stat().st_size != file.size:
        return False
    if file.sha256:
        return sha256_of(here) == file.sha256
    # Small files are known by their name in Git (gitformat-pack, "blob").
    digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    digest.update(here.read_bytes())
    return digest.hexdigest() == file.blob_id
