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

from whisperlive_hybrid.errors import BadRequest, OutputLost
from whisperlive_hybrid.languages import is_detection, language_code
from whisperlive_hybrid.models import MODELS_DIRECTORY

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
        help="demo, a size name, a Hugging Face id, an absolute path, or a directory under "
        f"{MODELS_DIRECTORY}. [env: FASTERWHISPER_MODEL]",
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
    if given is None or is_detection(given):
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
