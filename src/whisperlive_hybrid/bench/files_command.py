"""The command `whisperlive bench files`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console

from whisperlive_hybrid.errors import BadRequest

out = Console()


def files(
    clips: Annotated[Path, typer.Option(help="Folder of clips with manifest.json.")],
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of the recording.")] = 30,
    serve: Annotated[
        bool, typer.Option("--serve", help="Start our own server for the benchmark.")
    ] = False,
    model: Annotated[str, typer.Option(help="The model of --serve and of --compare.")] = "demo",
    http_url: Annotated[str, typer.Option(help="URL of a running HTTP server, http://…")] = "",
    server_pid: Annotated[
        int | None, typer.Option(help="Its process, whose CPU time and memory to measure.")
    ] = None,
    compare: Annotated[
        str,
        typer.Option(
            help="Also transcribe with faster-whisper, in turn: batched-10, batched-30, sequential "
            "(several with commas), or faster-whisper for all three."
        ),
    ] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Number of runs of each program.")] = 1,
    short_clip: Annotated[
        bool,
        typer.Option("--short-clip", help="Time a 3 s clip, idle and during the long file."),
    ] = False,
    language: Annotated[str, typer.Option(help="Language of the clips.")] = "en",
    seed: Annotated[int, typer.Option(help="Random seed of sentences and pauses.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
) -> None:
    """Upload a long recording to an HTTP server, and compare with faster-whisper alone."""
    # Not above: `whisperlive --help` must not load PyAV.
    from whisperlive_hybrid.bench.files import (  # noqa: PLC0415
        FilesBenchmark,
        run_files_benchmark,
    )
    from whisperlive_hybrid.bench.files_report import (  # noqa: PLC0415
        as_json,
        as_table,
        clip_line,
    )
    from whisperlive_hybrid.bench.peers import find_peers  # noqa: PLC0415

    if serve == bool(http_url):
        raise BadRequest("Name a server with --http-url http://host:port, or use --serve.")
    benchmark = FilesBenchmark(
        clips=clips,
        language=language,
        minutes=minutes,
        seed=seed,
        model=model,
        http_url=http_url,
        server_pid=server_pid,
        peers=find_peers([name.strip() for name in compare.split(",") if name.strip()]),
        rounds=rounds,
        with_clip=short_clip,
    )
    command = shlex.join(["whisperlive", *sys.argv[1:]])
    report = anyio.run(run_files_benchmark, benchmark, command, _print_line)
    out.print(as_table(report))
    if report.clip is not None:
        _print_line(clip_line(report))
    if json_file is not None:
        json_file.write_text(as_json(report), encoding="utf-8")


def _print_line(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)
