"""The commands `whisperlive bench`: live, files and align-clips."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console

from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.models.catalogue import DEFAULT

bench_app = typer.Typer(
    help="Measure a server: live delays and streams held, speed and memory with long files.",
    no_args_is_help=True,
)
out = Console()

ClipsOption = Annotated[
    Path, typer.Option(help="Folder of clips with manifest.json; see align-clips.")
]


@bench_app.command()
def files(
    clips: ClipsOption,
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
        peers=find_peers(split_names(compare)),
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


@bench_app.command()
def live(
    clips: ClipsOption,
    url: Annotated[str, typer.Option(help="URL of any WhisperLive server, ws://…")] = "",
    serve: Annotated[
        bool, typer.Option("--serve", help="Start our own server for the benchmark.")
    ] = False,
    model: Annotated[str, typer.Option(help="The model of --serve.")] = "demo",
    streams: Annotated[int, typer.Option(min=1, help="Streams at once.")] = 1,
    seconds: Annotated[float, typer.Option(min=5, help="Length of each stream.")] = 120,
    files: Annotated[int, typer.Option(min=0, help="Concurrent file uploads.")] = 0,
    http_url: Annotated[str, typer.Option(help="URL of the HTTP server for --files.")] = "",
    find_capacity: Annotated[
        bool, typer.Option("--find-capacity", help="Find the largest number of streams held.")
    ] = False,
    max_streams: Annotated[int, typer.Option(min=1, help="Limit of --find-capacity.")] = 64,
    server_pid: Annotated[
        int | None, typer.Option(help="Process whose CPU time and memory to count.")
    ] = None,
    detect_language: Annotated[
        bool, typer.Option("--detect-language", help="Let the server detect the language.")
    ] = False,
    languages: Annotated[
        str, typer.Option(help="Languages of the clips, such as en,de; all by default.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Random seed of sentences and pauses.")] = 0,
    shortest_pause: Annotated[
        float, typer.Option(min=0, help="Between sentences, in s; the longest is 1.2.")
    ] = 0.2,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
) -> None:
    """Send N live streams to a server in real time, and measure accuracy and delays of its text."""
    # Not above: `whisperlive --help` must load neither PyAV nor websockets.
    from whisperlive_hybrid.bench.live import (  # noqa: PLC0415
        Benchmark,
        as_json,
        as_table,
        capacity_line,
        run_benchmark,
    )
    from whisperlive_hybrid.bench.load import LoadPlan  # noqa: PLC0415

    benchmark = Benchmark(
        plan=LoadPlan(
            url, seconds, files, http_url, server_pid, detect_language, seed, shortest_pause
        ),
        clips=clips,
        languages=split_names(languages),
        streams=max_streams if find_capacity else streams,
        is_search=find_capacity,
        model=model if serve else None,
    )
    report = anyio.run(
        run_benchmark, benchmark, shlex.join(["whisperlive", *sys.argv[1:]]), _print_line
    )
    out.print(as_table(report))
    if report.capacity is not None:
        _print_line(capacity_line(report))
    if json_file is not None:
        json_file.write_text(as_json(report), encoding="utf-8")


@bench_app.command()
def align_clips(
    directory: Annotated[Path, typer.Argument(help="Recordings, as for `whisperlive evaluate`.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    model: Annotated[str, typer.Option(help="The model that aligns the words.")] = DEFAULT,
    kinds: Annotated[str, typer.Option(help="Only these, with commas.")] = "",
    languages: Annotated[str, typer.Option(help="Only these, with commas.")] = "",
    language: Annotated[
        str | None, typer.Option(help="Language of recordings with .txt files, such as en.")
    ] = None,
) -> None:
    """Make clips of at most 30 s each of recorded speech with reference texts."""
    from whisperlive_hybrid.backends.ctranslate2 import Ct2Backend  # noqa: PLC0415 (as above)
    from whisperlive_hybrid.backends.registry import get_first_model  # noqa: PLC0415 (as above)
    from whisperlive_hybrid.bench.aligned import clips_of_recordings  # noqa: PLC0415 (as above)
    from whisperlive_hybrid.bench.recordings import (  # noqa: PLC0415 (as above)
        read_labelled_recordings,
        select_recordings,
    )

    given = read_labelled_recordings(directory, language)
    selected = select_recordings(given, split_names(kinds), split_names(languages), None)
    settings = load_settings(model=model, backend="faster_whisper")
    backend = Ct2Backend(get_first_model(settings.model), device=settings.model.device)
    clips = clips_of_recordings(selected, backend, folder, _print_line)
    _print_line(f"{len(clips)} clips in {folder}")


def _print_line(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)


def split_names(names: str) -> list[str]:
    """Split a comma-separated list, without duplicates."""
    return list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
