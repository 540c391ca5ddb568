"""The command `python -m load_tests idle-load`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console

from whisperlive_hybrid.bench.command import split_names
from whisperlive_hybrid.errors import BadRequest

out = Console()


def measure_idle_load(
    clips: Annotated[Path, typer.Option(help="Folder of clips with manifest.json.")],
    serve: Annotated[bool, typer.Option("--serve", help="Start a server for the test.")] = False,
    model: Annotated[str, typer.Option(help="The model of --serve.")] = "demo",
    url: Annotated[str, typer.Option(help="URL of a running live server, ws://…")] = "",
    http_url: Annotated[str, typer.Option(help="URL of its HTTP server, http://…")] = "",
    server_pid: Annotated[int | None, typer.Option(help="Its process.")] = None,
    idle: Annotated[int, typer.Option(min=0, help="Live clients that send nothing.")] = 200,
    uploads: Annotated[int, typer.Option(min=0, help="Uploads of 2 kB a second.")] = 50,
    seconds: Annotated[float, typer.Option(min=5, help="Speech in each phase.")] = 120,
    languages: Annotated[
        str, typer.Option(help="Languages of the clips, such as en,de; all by default.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Random seed of sentences and pauses.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
) -> None:
    """Measure one stream before, during and after a load of idle clients and slow uploads."""
    # Not above: `--help` must load neither PyAV nor websockets.
    from load_tests.idle_clients import IdleClients  # noqa: PLC0415
    from load_tests.idle_load import (  # noqa: PLC0415
        IdleLoadTest,
        as_json,
        as_table,
        format_verdict,
    )

    from whisperlive_hybrid.bench.load import LoadPlan  # noqa: PLC0415

    if serve == bool(url):
        raise BadRequest("Name a server with --url, --http-url, --server-pid, or use --serve.")
    plan = LoadPlan(url, seconds, http_url=http_url, server_pid=server_pid, seed=seed)
    test = IdleLoadTest(
        plan, clips, split_names(languages), IdleClients(idle, uploads), model if serve else None
    )
    report = anyio.run(test.run, _print_line)
    out.print(as_table(report))
    _print_line(format_verdict(report))
    if json_file is not None:
        command = shlex.join(["whisperlive", *sys.argv[1:]])
        json_file.write_text(as_json(report, command), encoding="utf-8")


def _print_line(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)
