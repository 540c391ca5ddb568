"""The commands `whisperlive models`: list, pull, remove and locate models."""

import threading
from concurrent.futures import as_completed
from functools import partial
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from whisperlive_hybrid.cli.terminal import (
    FAILED,
    BackendOption,
    note,
    out,
    print_error,
    show_downloads,
)
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.models.catalogue import CATALOGUE, DEFAULT, find_known_model
from whisperlive_hybrid.models.files import DEMO, ModelFiles
from whisperlive_hybrid.models.formats import CTRANSLATE2, get_format
from whisperlive_hybrid.models.store import ModelStore
from whisperlive_hybrid.system import run_in_daemon_thread
from whisperlive_hybrid.telemetry.logging import configure_logging

_PULLS_AT_ONCE = 4

models_app = typer.Typer(
    help="List, download and remove models.", invoke_without_command=True, add_completion=False
)

Names = Annotated[list[str], typer.Argument(help="Names or hub ids.", show_default=False)]


@models_app.callback()
def list_models(context: typer.Context) -> None:
    """List the models on this machine and those that can be downloaded."""
    if context.invoked_subcommand is not None:
        return
    store = ModelStore(load_settings().model.models_dir)
    here = {model.name: model for model in store.list_local()}
    table = Table("name", "here", "size", "languages", "licence", "hub id")
    for known in CATALOGUE:
        is_here = here.pop(known.name, None) is not None
        name = f"[bold]{known.name}[/bold]" if is_here else known.name
        size = f"{known.size / 1e6:,.0f} MB"
        row = (name, "yes" if is_here else "", size, known.languages, known.licence, known.hub_id)
        table.add_row(*row)
    for model in here.values():
        backend = "" if model.form is CTRANSLATE2 else f" (--backend {model.form.backend})"
        table.add_row(escape(model.name), f"yes{backend}", "", "", "", "")
    table.add_row(DEMO, "yes", "3 MB", "160 words", "", "ships with the package; for tests only")
    out.print(table)
    note(f"Models are downloaded to {store.directory}; the default is {DEFAULT}.")


@models_app.command()
def pull(names: Names, backend: BackendOption = None) -> None:
    """Download models, several at once; an interrupted download is resumed."""
    settings = load_settings(backend=backend)
    configure_logging(form="console", level="warning")
    store = ModelStore(settings.model.models_dir)
    form = get_format(settings.model.backend)
    has_failed = False
    slots = threading.Semaphore(_PULLS_AT_ONCE)
    with show_downloads() as on_progress:

        def get(name: str) -> ModelFiles:
            with slots:
                return store.get(name, form, on_progress=on_progress)

        # Daemon threads: Ctrl-C would wait for those of `concurrent.futures`, and so for downloads.
        futures = {
            run_in_daemon_thread(partial(get, name), "models-pull"): name
            for name in dict.fromkeys(names)
        }
        for future in as_completed(futures):
            try:
                note(f"{futures[future]}: {future.result().directory}")
            except ModelUnavailable as error:
                print_error(error.message)
                has_failed = True
    if has_failed:
        raise typer.Exit(FAILED)


@models_app.command()
def remove(names: Names) -> None:
    """Delete downloaded models."""
    store = ModelStore(load_settings().model.models_dir)
    has_failed = False
    for name in dict.fromkeys(names):
        try:
            note(f"Removed {store.remove(name)}.")
        except BadRequest as error:
            print_error(error.message)
            has_failed = True
    if has_failed:
        raise typer.Exit(FAILED)


@models_app.command()
def where(
    name: Annotated[
        str | None, typer.Argument(help="A model; without it, the directory of downloads.")
    ] = None,
    backend: BackendOption = None,
) -> None:
    """Print the directory of a model on this machine, or that of all downloads."""
    settings = load_settings(backend=backend)
    store = ModelStore(settings.model.models_dir)
    if name is None:
        typer.echo(store.directory)
        return
    model_files = store.find(name, get_format(settings.model.backend))
    if model_files is None:
        known = find_known_model(name)
        advice = f"; `whisperlive models pull {known.name}` downloads it" if known else ""
        raise ModelUnavailable(f"Model {name!r} is not on this machine{advice}.")
    typer.echo(model_files.directory)
