"""The command line `whisperlive`: serve, calibrate, settings, version and all other commands."""

import shlex
import sys
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from whisperlive_hybrid import __version__
from whisperlive_hybrid.backends.base import Backend
from whisperlive_hybrid.backends.registry import load_backend
from whisperlive_hybrid.bench.command import bench_app
from whisperlive_hybrid.cli import settings as reference
from whisperlive_hybrid.cli.batch.command import transcribe
from whisperlive_hybrid.cli.evaluate.command import evaluate
from whisperlive_hybrid.cli.keys import keys_app
from whisperlive_hybrid.cli.models import models_app
from whisperlive_hybrid.cli.terminal import (
    FAILED,
    BackendOption,
    ModelOption,
    ThreadsOption,
    discard_output,
    guard_output,
    note,
    out,
    parse_language,
    print_error,
    show_downloads,
)
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.errors import BadRequest, OutputLost, WhisperLiveError
from whisperlive_hybrid.models.store import OnProgress
from whisperlive_hybrid.system import freeze_gc
from whisperlive_hybrid.telemetry.logging import configure_logging
from whisperlive_hybrid.types import DecodeOptions

if TYPE_CHECKING:
    from whisperlive_hybrid.model_pool import ModelSpec
    from whisperlive_hybrid.server.app import OpenDoors  # slow to load, and only `serve` needs it

app = typer.Typer(
    help="Live and file speech-to-text on one shared Whisper model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; print an error of ours as one line and exit with code 1."""
    guard_output()
    try:
        try:
            build_app()()
        finally:
            out.file.flush()  # the interpreter's own flush at exit cannot be caught
    except WhisperLiveError as error:
        print_error(error.message)
        discard_output()
        sys.exit(FAILED)
    except BrokenPipeError:
        discard_output()
        sys.exit(FAILED)


def build_app() -> typer.Typer:
    """Return the command line with the commands of other modules."""
    app.command()(transcribe)
    app.command()(evaluate)
    app.add_typer(models_app, name="models")
    app.add_typer(keys_app, name="keys")
    app.add_typer(bench_app, name="bench")
    return app


@app.command()
def serve(
    model: ModelOption = None,
    backend: BackendOption = None,
    threads: ThreadsOption = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default=False)
    ] = None,
    live_port: Annotated[
        int | None,
        typer.Option(help="Port of the live server. [env: PORT_WHISPERLIVE; 5050]"),
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of the HTTP server. [env: HTTP_PORT; 8080]")
    ] = None,
    raw_pcm_input: Annotated[
        bool | None,
        typer.Option("--raw-pcm-input", help="Live clients that announce no format send int16."),
    ] = None,
) -> None:
    """Run both servers: WebSocket for live streams, HTTP for files."""
    settings = load_settings(
        model=model,
        backend=backend,
        threads=threads,
        host=host,
        live_port=live_port,
        http_port=http_port,
        raw_pcm_input=raw_pcm_input,
    )
    configure_logging(form=settings.telemetry.log_format, level=settings.telemetry.log_level)
    from whisperlive_hybrid.server import app as server  # noqa: PLC0415 (slow to load)
    from whisperlive_hybrid.server.startup import start_and_serve  # noqa: PLC0415 (slow to load)

    def load(on_progress: OnProgress) -> tuple[Backend, "list[ModelSpec]"]:
        backend = load_backend(settings.model, on_progress=on_progress)
        return backend, server.models_on_demand(settings, on_progress)

    with ExitStack() as downloads:
        on_progress = downloads.enter_context(show_downloads())

        def announce(running: "OpenDoors") -> None:
            downloads.close()  # the progress bar would overwrite the announcement
            freeze_gc()
            try:
                _announce(running)
            except OutputLost as error:  # a full disk under a log must not stop the server
                print_error(error.message)
                discard_output()

        anyio.run(start_and_serve, load, settings, on_progress, announce)


@app.command()
def calibrate(
    audio: Annotated[
        list[Path], typer.Argument(help="Your recordings: files or directories.", exists=True)
    ],
    card: Annotated[
        Path | None,
        typer.Option(help="Write the card here, not into the model's directory.", dir_okay=False),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="A code such as en; auto, the default, detects it.")
    ] = None,
    no_silent_tail: Annotated[
        bool,
        typer.Option(
            "--no-silent-tail",
            help="Do not fill shortened contexts up with the encoder's output of silence.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write the card even from too little speech.")
    ] = False,
    model: ModelOption = None,
    backend: BackendOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Find the shortest context in which a model loses nothing, and write it into its card.

    With a reference NAME.txt beside NAME.wav, word errors are compared; otherwise the texts are
    compared with those of the full 30 s.
    """
    from whisperlive_hybrid.cli import calibrate as trials  # noqa: PLC0415 (slow to load)
    from whisperlive_hybrid.media.limits import MediaLimits  # noqa: PLC0415 (as above)

    settings = load_settings(model=model, backend=backend, threads=threads)
    configure_logging(form=settings.telemetry.log_format, level="error")
    files = trials.recordings_in(audio)
    with show_downloads() as on_progress:
        subject = trials.subject(
            settings.model,
            card,
            silent_tail=not no_silent_tail,
            will_write=not dry_run,
            on_progress=on_progress,
        )
    options = DecodeOptions(language=parse_language(language))
    limits = MediaLimits(settings.files.max_audio_hours * 3600)
    done = anyio.run(trials.calibrate, subject.backend, limits, files, options, note)
    out.print(trials.as_table(done))
    tail = "with" if subject.silent_tail else "without"
    note(
        f"Shortest context that loses nothing: {done.shortest_safe_s:g} s ({tail} a silent tail, "
        f"in {', '.join(done.languages) or 'no language: there is no speech'})."
    )
    missing = trials.what_is_missing(done)
    if missing and dry_run:
        note(missing)
    elif missing and not force:
        raise BadRequest(missing)
    elif not dry_run:
        subject.write(done)
        note(f"Written to {subject.file}.")


@app.command("settings")
def show_settings(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write docs/settings.md to standard output.")
    ] = False,
) -> None:
    """Show every setting with its current value and meaning; secrets are not shown."""
    if markdown:
        typer.echo(reference.as_markdown(), nl=False)
        return
    settings = load_settings()
    for title, rows in reference.sections():
        out.print(f"[bold]{title}[/bold]")
        for row in rows:
            value = reference.in_force(settings, row)
            changed = "" if value == row.default else f"   (default: {row.default})"
            line = f"  {row.variable} = {value}{changed}"
            out.print(line, markup=False, soft_wrap=True, style="green" if changed else None)
            out.print(Padding(Text(row.plain_meaning), (0, 0, 0, 6)))


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


def sample_clip() -> Path:
    """Return the path of a short English clip that ships with the package."""
    return Path(str(files("whisperlive_hybrid") / "assets" / "samples" / "en.flac"))


def _announce(running: "OpenDoors") -> None:
    """Print the addresses of the servers, and a command to try them."""
    model = running.model
    out.print(f"Model [bold]{escape(model.model)}[/bold] on {model.device} ({model.compute_type})")
    if model.note:
        out.print(f"[yellow]{escape(model.note)}[/yellow]")
    out.print(f"Live server  ws://localhost:{running.live_port}     (WhisperLive clients)")
    out.print(
        f"HTTP server  http://localhost:{running.http_port}   (OpenAI audio API, /transcribe)"
    )
    out.print("Try it with a clip that ships with the package (synthetic speech):")
    out.print(
        f"  curl http://localhost:{running.http_port}/v1/audio/transcriptions "
        f"-F file=@{shlex.quote(str(sample_clip()))} -F model=whisper-1",
        soft_wrap=True,
        highlight=False,
    )
