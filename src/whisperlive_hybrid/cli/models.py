"""The commands `whisperlive models`: what is here, what there is, pull and remove."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from functools import partial
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from whisperlive_hybrid.cli.terminal import FAILED, BackendOption, complain, note, out, pull_screen
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.models.catalogue import CATALOGUE, DEFAULT, KnownModel, find_known_model
from whisperlive_hybrid.models.files import DEMO, ModelFiles
from whisperlive_hybrid.models.formats import CTRANSLATE2, format_for
from whisperlive_hybrid.models.store import LocalModel, ModelStore
from whisperlive_hybrid.system import run_in_daemon_thread
from whisperlive_hybrid.telemetry.logging import configure_logging

_PULLS_AT_ONCE = 4

models_app = typer.Typer(
    help="List, download and remove models.", invoke_without_command=True, add_completion=False
)

Names = Annotated[list[str], typer.Argument(help="Names or hub ids.", show_default=False)]


@models_app.callback()
def list_models(context: typer.Context) -> None:
    """List the models that are here and those that can be downloaded."""
    if context.invoked_subcommand is not None:
        return
    store = ModelStore(load_settings().models_dir)
    here = {model.name: model for model in store.local()}
    table = Table("name", "here", "size", "languages", "licence", "hub id")
    for known in CATALOGUE:
        table.add_row(*_known_row(known, here.pop(known.name, None)))
    for model in here.values():
        backend = "" if model.form is CTRANSLATE2 else f" (--backend {model.form.backend})"
        table.add_row(escape(model.name), f"yes{backend}", "", "", "", "")
    table.add_row(DEMO, "yes", "3 MB", "160 words", "", "ships with the package; for tests only")
    out.print(table)
    note(f"Models are downloaded to {store.directory}; the default is {DEFAULT}.")


@models_app.command()
def pull(names: Names, backend: BackendOption = None) -> None:
    """Download models, several at once; what was interrupted goes on where it stopped."""
    settings = load_settings(backend=backend)
    configure_logging(form="console", level="warning")
    store = ModelStore(settings.models_dir)
    form = format_for(settings.backend)
    failed = False
    with pull_screen() as on_progress:

        def get(name: str) -> ModelFiles:
            return store.get(name, form, on_progress=on_progress)

        for name, pulled in _pulled(get, list(dict.fromkeys(names))):
            try:
                note(f"{name}: {pulled.result().directory}")
            except ModelUnavailable as error:
                complain(error.message)
                failed = True
    if failed:
        raise typer.Exit(FAILED)


@models_app.command()
def remove(names: Names) -> None:
    """Delete models that were downloaded."""
    store = ModelStore(load_settings().models_dir)
    failed = False
    for name in dict.fromkeys(names):
        try:
            note(f"Removed {store.remove(name)}.")
        except BadRequest as error:
            complain(error.message)
            failed = True
    if failed:
        raise typer.Exit(FAILED)


@models_app.command()
def where(
    name: Annotated[
        str | None, typer.Argument(help="A model; without it, where downloads go.")
    ] = None,
    backend: BackendOption = None,
) -> None:
    """Print the directory of a model on this machine, or the one that models are downloaded to."""
    settings = load_settings(backend=backend)
    store = ModelStore(settings.models_dir)
    if name is None:
        typer.echo(store.directory)
        return
    found = store.find(name, format_for(settings.backend))
    if found is None:
        known = find_known_model(name)
        advice = f"; `whisperlive models pull {known.name}` downloads it" if known else ""
        raise ModelUnavailable(f"Model {name!r} is not on this machine{advice}.")
    typer.echo(found.directory)


def _pulled(
    get: Callable[[str], ModelFiles], names: Sequence[str]
) -> Iterator[tuple[str, Future[ModelFiles]]]:
    """Give each of `names` with what `get` returned or raised, as they are done.

    Ctrl-C would wait for the threads of `concurrent.futures`, and so for the downloads.
    """
    places = threading.Semaphore(_PULLS_AT_ONCE)

    def work(name: str) -> ModelFiles:
        with places:
            return get(name)

    futures = {run_in_daemon_thread(partial(work, name), "models-pull"): name for name in names}
    for future in as_completed(futures):
        yield futures[future], future


def _known_row(known: KnownModel, here: LocalModel | None) -> tuple[str, ...]:
    name = f"[bold]{known.name}[/bold]" if here else known.name
    size = f"{known.size / 1e6:,.0f} MB"
    return name, "yes" if here else "", size, known.languages, known.licence, known.hub_id
