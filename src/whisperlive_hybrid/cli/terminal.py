"""What the commands share: options of the same meaning, and how they talk and end."""

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


def known_language(given: str | None) -> str | None:
    """Return the code of a language, None to detect it; raises `BadRequest` for an unknown one."""
    if given is None or is_auto_language(given):
        return None
    code = language_code(given)
    if code is None:
        raise BadRequest(f"Unknown language {given!r}; use a code such as 'en', or 'auto'.")
    return code


def note(line: str) -> None:
    """Say something that is no result."""
    err.print(line, soft_wrap=True, highlight=False, markup=False)


def complain(message: str) -> None:
    """Say what went wrong, in one line."""
    err.print(f"[red]Error:[/red] {escape(message)}", soft_wrap=True, highlight=False)


@contextmanager
def pull_screen() -> Iterator[OnProgress]:
    """Show the progress of model downloads on standard error while inside.

    The value is called with the progress of one or several models, from any thread. Where standard
    error is not a terminal, there is a line at the start of each and at every quarter.
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
        if not tasks:
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
    """Have standard output raise `OutputLost` where it cannot be written."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):  # None, if who started us has closed it
        settings = stream.encoding, stream.errors, None, stream.line_buffering, stream.write_through
        sys.stdout = _StandardOutput(stream.detach(), *settings)


def discard_output() -> None:
    """Write no more: what is kept for later would fail again, where nobody catches it."""
    if sys.stdout is not None:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


class _StandardOutput(io.TextIOWrapper):
    """A pipe that nobody reads any more is left to typer, which ends without a word."""

    def write(self, text: str) -> int:
        """Write a text, or a part of it later."""
        with _loss_told():
            return super().write(text)

    def flush(self) -> None:
        """Write what was kept for later."""
        with _loss_told():
            super().flush()


@contextmanager
def _loss_told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(f"Standard output cannot be written: {error.strerror}.") from error
