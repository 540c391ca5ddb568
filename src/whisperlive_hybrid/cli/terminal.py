"""Options, exit codes and terminal output that the commands share."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from whisperlive_hybrid.errors import BadRequest, OutputLost
from whisperlive_hybrid.languages import is_auto_language, language_code
from whisperlive_hybrid.models.store import MOUNTED, OnProgress, PullProgress

out = Console()
err = Console(stderr=True)

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
TERMINATED: Final = 143
"""Exit codes; the last two are a shell's for SIGINT and SIGTERM."""

ModelOption = Annotated[
    str | None,
    typer.Option(
        help="A name such as base or small (`whisperlive models`), a Hugging Face id, an absolute "
        f"path, a directory under {MOUNTED}, or demo. [env: FASTERWHISPER_MODEL; base]",
        show_default=False,
    ),
]
BackendOption = Annotated[
    str | None,
    typer.Option(help="faster_whisper (the default), openvino or tensorrt.", show_default=False),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        help="Cores for the model. [env: OMP_NUM_THREADS; all of them]", show_default=False
    ),
]


def parse_language(given: str | None) -> str | None:
    """Return the code of a language, or None to detect it; raises `BadRequest` if unknown."""
    if given is None or is_auto_language(given):
        return None
    code = language_code(given)
    if code is None:
        raise BadRequest(f"Unknown language {given!r}; use a code such as 'en', or 'auto'.")
    return code


def note(line: str) -> None:
    """Print a line that is not a result to standard error."""
    err.print(line, soft_wrap=True, highlight=False, markup=False)


def print_error(message: str) -> None:
    """Print an error as one line to standard error."""
    err.print(f"[red]Error:[/red] {escape(message)}", soft_wrap=True, highlight=False)


@contextmanager
def show_downloads() -> Iterator[OnProgress]:
    """Show the progress of model downloads on standard error.

    Yields a callback for the progress of one or several models, which any thread may call. Where
    standard error is not a terminal, it prints a line at the start and at every quarter.
    """
    columns = (
        TextColumn("Downloading model [bold]{task.description}[/bold]"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=err, transient=True)
    tasks: dict[str, TaskID] = {}
    quarters: dict[str, int] = {}

    def show_bar(progress: PullProgress) -> None:
        if not tasks:  # started with the first download: without one, nothing is drawn
            bars.start()
        if progress.model not in tasks:
            tasks[progress.model] = bars.add_task(escape(progress.model), total=progress.total)
        bars.update(tasks[progress.model], completed=progress.done, total=progress.total)

    def show_line(progress: PullProgress) -> None:
        quarter = 4 * progress.done // progress.total if progress.total else 0
        if quarters.get(progress.model, -1) >= quarter:
            return
        quarters[progress.model] = quarter
        size = f" of {progress.total / 1e6:.0f} MB" if progress.total else ""
        note(f"Downloading model {progress.model}: {progress.done / 1e6:.0f} MB{size}")

    try:
        yield show_bar if err.is_terminal else show_line
    finally:
        if tasks:
            bars.stop()


def guard_output() -> None:
    """Make standard output raise `OutputLost` where it cannot be written."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):  # None if the parent process closed it
        settings = stream.encoding, stream.errors, None, stream.line_buffering, stream.write_through
        sys.stdout = _StandardOutput(stream.detach(), *settings)


def discard_output() -> None:
    """Redirect standard output to the null device: flushing its buffer at exit would fail again."""
    if sys.stdout is not None:
        with Path(os.devnull).open("wb") as null_device:
            os.dup2(null_device.fileno(), sys.stdout.fileno())


class _StandardOutput(io.TextIOWrapper):
    """Standard output that raises `OutputLost`."""

    def write(self, text: str) -> int:
        """Write a text to the buffer."""
        with _translate_output_errors():
            return super().write(text)

    def flush(self) -> None:
        """Write the buffer out."""
        with _translate_output_errors():
            super().flush()


@contextmanager
def _translate_output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader has ended; typer exits without a message
        raise
    except OSError as error:
        raise OutputLost(f"Standard output cannot be written: {error.strerror}.") from error
