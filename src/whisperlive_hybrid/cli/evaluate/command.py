"""The command `whisperlive evaluate`: how right this server is on recordings with references."""

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import anyio
import typer

from whisperlive_hybrid.cli.terminal import (
    BackendOption,
    ModelOption,
    ThreadsOption,
    known_language,
    note,
    pull_screen,
)
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.errors import BadRequest, ModelUnavailable
from whisperlive_hybrid.telemetry.logging import configure_logging

WAYS: Final = ("file", "live")


def evaluate(
    directory: Annotated[
        Path,
        typer.Argument(
            help="Recordings with .txt beside them, or with manifest.jsonl.",
            exists=True,
            file_okay=False,
        ),
    ],
    ways: Annotated[str, typer.Option(help="file, live, or both.")] = "file,live",
    compare: Annotated[
        str,
        typer.Option(
            help="Let faster-whisper read them as well: faster-whisper, faster-whisper-vad, "
            "faster-whisper-batched (several with commas)."
        ),
    ] = "",
    kinds: Annotated[str, typer.Option(help="Only these, with commas.")] = "",
    languages: Annotated[str, typer.Option(help="Only these, with commas.")] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many of each kind in each language.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Of recordings with .txt beside them, such as en.")
    ] = None,
    real_time: Annotated[
        bool,
        typer.Option("--real-time", help="Feed the live way at the pace of speech."),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything to this file as well.")
    ] = None,
    model: ModelOption = None,
    backend: BackendOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Measure word errors, lost and invented words, cue ends and CPU time on your recordings."""
    for package in ("jiwer", "whisper_normalizer"):
        if find_spec(package) is None:
            raise ModelUnavailable(
                f"The evaluation needs the package {package}: "
                "pip install 'whisperlive-hybrid-server[evaluate]'."
            )
    from whisperlive_hybrid.bench import recordings  # noqa: PLC0415 (slow to load)
    from whisperlive_hybrid.cli.evaluate import report, run  # noqa: PLC0415 (slow to load)

    plan = run.Plan(_listed(ways), _listed(compare), real_time)
    if not plan.ways or set(plan.ways) - set(WAYS):
        raise BadRequest(f"--ways={ways!r}: name file, live, or both with a comma.")
    settings = load_settings(model=model, backend=backend, threads=threads)
    configure_logging(form=settings.log_format, level="error")
    given = recordings.labelled_recordings(directory, known_language(language))
    found = recordings.chosen(given, _listed(kinds), _listed(languages), limit)
    with pull_screen() as on_progress:
        done, about = anyio.run(run.evaluate_all, settings, found, plan, on_progress, note)
    peer = plan.peers[0] if plan.peers else None
    rows = report.figures(done, peer)
    for line in report.table_lines(rows):
        typer.echo(line)
    for line in report.lost_lines(done, peer) if peer else ():
        note(line)
    if json_file is not None:
        about["command"] = shlex.join(["whisperlive", *sys.argv[1:]])
        json_file.write_text(report.as_json(about, done, rows), encoding="utf-8")


def _listed(names: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
