"""What the commands share: options of the same meaning, and how they talk and end."""

from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.languages import language_code
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
    """The code of a language that was told; raises `BadRequest` if there is none such."""
    if given is None:
        return None
    code = language_code(given)
    if code is None:
        raise BadRequest(f"Unknown language {given!r}; use a code such as 'en'.")
    return code


def note(line: str) -> None:
    """Say something that is no result."""
    err.print(line, soft_wrap=True, highlight=False, markup=False)


def complain(message: str) -> None:
    """Say what went wrong, in one line."""
    err.print(f"[red]Error:[/red] {escape(message)}", soft_wrap=True, highlight=False)
