"""The command line of the idle-load test: `python -m load_tests idle-load`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console

from whisperlive_hybrid.errors import BadRequest

out = Console()


def siege(
    clips: Annotated[Path, typer.Option(help="Folder of clips with manifest.json.")],
    serve: Annotated[bool, typer.Option("--serve", help="Start our own server for it.")] = False,
    model: Annotated[str, typer.Option(help="The model of --serve.")] = "demo",
    url: Annotated[str, typer.Option(help="Live door of a server that runs, ws://…")] = "",
    http_url: Annotated[str, typer.Option(help="Its file door, http://…")] = "",
    server_pid: Annotated[int | None, typer.Option(help="Its process.")] = None,
    idle: Annotated[int, typer.Option(min=0, help="Live clients that say nothing.")] = 200,
    uploads: Annotated[int, typer.Option(min=0, help="Uploads of 2 kB a second.")] = 50,
    seconds: Annotated[float, typer.Option(min=5, help="Speech in each phase.")] = 120,
    languages: Annotated[str, typer.Option(help="Of the clips, such as en,de; else all.")] = "",
    seed: Annotated[int, typer.Option(help="Draws sentences and pauses.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
) -> None:
    """Speak one stream without, with and again without a crowd that only takes room."""
    # Not above: `whisperlive --help` is to load neither PyAV nor websockets.
    from load_tests.idle_clients import Crowd  # noqa: PLC0415
    from load_tests.idle_load import (  # noqa: PLC0415
        Besieged,
        siege_json,
        siege_table,
        siege_verdict,
    )

    from whisperlive_hybrid.bench.load import LoadPlan  # noqa: PLC0415

    if serve == bool(url):
        raise BadRequest("Name a server with --url, --http-url, --server-pid, or use --serve.")
    plan = LoadPlan(url, seconds, http_url=http_url, server_pid=server_pid, seed=seed)
    wanted = [language.strip() for language in languages.split(",") if language.strip()]
    besieged = Besieged(plan, clips, wanted, Crowd(idle, uploads), model if serve else None)
    report = anyio.run(besieged.run, _print_line)
    out.print(siege_table(report))
    _print_line(siege_verdict(report))
    if json_file is not None:
        command = shlex.join(["whisperlive", *sys.argv[1:]])
        json_file.write_text(siege_json(report, command), encoding="utf-8")


def _print_line(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)
