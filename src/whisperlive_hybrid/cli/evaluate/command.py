"""The command `whisperlive evaluate`: measure accuracy on recordings with reference texts."""

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import anyio
import typer

from whisperlive_hybrid.bench.command import split_names
from whisperlive_hybrid.cli.terminal import (
    BackendOption,
    ModelOption,
    ThreadsOption,
    note,
    parse_language,
    show_downloads,
)
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.telemetry.logging import configure_logging

WAYS: Final = ("file", "live")


def evaluate(
    directory: Annotated[
        Path,
        typer.Argument(
            help="Recordings with .txt files beside them, or with manifest.jsonl.",
            exists=True,
            file_okay=False,
        ),
    ],
    ways: Annotated[str, typer.Option(help="file, live, or both.")] = "file,live",
    compare: Annotated[
        str,
        typer.Option(
            help="Compare with faster-whisper, faster-whisper-vad, faster-whisper-batched "
            "(several with commas)."
        ),
    ] = "",
    kinds: Annotated[str, typer.Option(help="Only these, with commas.")] = "",
    languages: Annotated[str, typer.Option(help="Only these, with commas.")] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many of each kind in each language.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of recordings with .txt files, such as en.")
    ] = None,
    real_time: Annotated[
        bool,
        typer.Option("--real-time", help="Send live audio in real time."),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write all results to this file.")
    ] = None,
    model: ModelOption = None,
    backend: BackendOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Measure word errors, lost and invented words, cue ends and CPU time on your recordings."""
    # The packages are an extra; a missing one is an error before the model is loaded.
    for package in ("jiwer", "whisper_normalizer"):
        if find_spec(package) is None:
            raise ModelUnavailable(
                f"The evaluation needs the package {package}: "
                "pip install 'whisperlive-hybrid-server[evaluate]'."
            )
    from whisperlive_hybrid.bench import recordings  # noqa: PLC0415 (slow to load)
    from whisperlive_hybrid.cli.evaluate import report, run  # noqa: PLC0415 (slow to load)

    plan = run.Plan(split_names(ways), split_names(compare), real_time)
    if not plan.ways or set(plan.ways) - set(WAYS):
        raise BadRequest(f"--ways={ways!r}: name file, live, or both with a comma.")
    settings = load_settings(model=model, backend=backend, threads=threads)
    configure_logging(form=settings.telemetry.log_format, level="error")
    given = recordings.read_labelled_recordings(directory, parse_language(language))
    selected = recordings.select_recordings(
        given, split_names(kinds), split_names(languages), limit
    )
    with show_downloads() as on_progress:
        done, about = anyio.run(run.evaluate_all, settings, selected, plan, on_progress, note)
    peer = plan.peers[0] if plan.peers else None
    rows = report.compute_figures(done, peer)
    for line in report.format_table(rows):
        typer.echo(line)
    for line in report.format_lost_runs(done, peer) if peer else ():
        note(line)
    if json_file is not None:
        about["command"] = shlex.join(["whisperlive", *sys.argv[1:]])
        json_file.write_text(report.as_json(about, done, rows), encoding="utf-8")
