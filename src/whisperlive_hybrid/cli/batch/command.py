"""The command `whisperlive transcribe`: parse and check its arguments."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from whisperlive_hybrid.auth.keys import check_sendable
from whisperlive_hybrid.cli.batch.formats import BatchRequest, OutputFormat, parse_formats
from whisperlive_hybrid.cli.batch.inputs import BatchItem, StandardInput, check_outputs, plan_items
from whisperlive_hybrid.cli.batch.run import (
    BatchJob,
    BatchRunner,
    LocalRunner,
    RemoteRunner,
    run_batch,
)
from whisperlive_hybrid.cli.terminal import (
    USAGE,
    BackendOption,
    ModelOption,
    ThreadsOption,
    parse_language,
    print_error,
)
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.forms import LAST_AUDIO_TRACK
from whisperlive_hybrid.protocol.openai.cue_fields import MAX_CUE_VALUE, cue_params
from whisperlive_hybrid.telemetry.logging import configure_logging
from whisperlive_hybrid.text.cues import CueStyle
from whisperlive_hybrid.text.language import SWITCH_THRESHOLD
from whisperlive_hybrid.types import DEFAULT_BEAM_SIZE, DecodeOptions, Task

API_KEY = "WHISPERLIVE_API_KEY"


def transcribe(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Files, directories, patterns such as 'talks/*.m4a', - for standard input; "
            "URLs with --jobs-url.",
            show_default=False,
        ),
    ],
    formats: Annotated[
        str, typer.Option("--format", help="txt (or text), srt, vtt, json; several with commas.")
    ] = OutputFormat.TXT.value,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            help="Write NAME.FORMAT files here, and resume where an earlier command was stopped; "
            "without it, print.",
            file_okay=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Transcribe finished recordings again.")
    ] = False,
    language: Annotated[
        str | None, typer.Option(help="A code such as en; auto, the default, detects it.")
    ] = None,
    multilingual: Annotated[
        bool,
        typer.Option("--multilingual", help="Detect the language again along the recording."),
    ] = False,
    language_detection_threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Probability from which the language changes; "
            f"{SWITCH_THRESHOLD:g}. Needs --multilingual.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[Task, typer.Option(help="translate is into English.")] = Task.TRANSCRIBE,
    words: Annotated[bool, typer.Option("--words", help="Measure word times (json).")] = False,
    max_line_width: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_CUE_VALUE,
            help="Characters of a line of srt and vtt; 42.",
            show_default=False,
        ),
    ] = None,
    max_line_count: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_CUE_VALUE,
            help="Lines of a cue; 2. Needs --max-line-width; with both, lines are filled across "
            "segments.",
            show_default=False,
        ),
    ] = None,
    max_words_per_line: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_CUE_VALUE, help="Words of a cue of srt and vtt.", show_default=False
        ),
    ] = None,
    highlight_words: Annotated[
        bool,
        typer.Option(
            "--highlight-words", help="Show each cue once for each of its words, underlined."
        ),
    ] = False,
    prompt: Annotated[
        str, typer.Option(help="Text before the speech; steers spelling and style.")
    ] = "",
    hotwords: Annotated[str, typer.Option(help="Words that are likely to occur.")] = "",
    beam_size: Annotated[
        int | None,
        typer.Option(
            min=1, max=20, help="Hypotheses followed side by side; 5.", show_default=False
        ),
    ] = None,
    audio_track: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=LAST_AUDIO_TRACK,
            help="Audio track of each file, counted from 0; without it, the file's default.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    backend: BackendOption = None,
    threads: ThreadsOption = None,
    jobs_url: Annotated[
        str | None, typer.Option(help="A running server that transcribes, http://host:8080.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(help=f"For that server. [env: {API_KEY}]", show_default=False)
    ] = None,
    keep_jobs: Annotated[
        bool, typer.Option("--keep-jobs", help="Leave finished jobs on that server.")
    ] = False,
) -> None:
    """Transcribe many files, on this machine or through a running server."""
    try:  # everything is checked before a model is loaded or a file is uploaded
        options = DecodeOptions(
            language=parse_language(language),
            switch_threshold=_parse_threshold(
                language_detection_threshold, is_multilingual=multilingual
            ),
            task=task,
            words=words,
            prompt=prompt if prompt.strip() else "",
            hotwords=hotwords if hotwords.strip() else "",
            beam_size=beam_size or DEFAULT_BEAM_SIZE,
        )
        style = CueStyle(max_line_width, max_line_count, max_words_per_line, highlight_words)
        request = BatchRequest(options, _parse_formats(formats), audio_track, style)
        if jobs_url is None:
            _refuse("needs --jobs-url", {"--api-key": api_key, "--keep-jobs": keep_jobs})
            runner: BatchRunner = LocalRunner(
                load_settings(model=model, backend=backend, threads=threads)
            )
        else:
            _refuse(
                "is decided by the server of --jobs-url",
                {"--beam-size": beam_size, "--backend": backend, "--threads": threads},
            )
            runner = RemoteRunner(
                _parse_server_url(jobs_url), model, _find_api_key(api_key), keep_jobs
            )
        items = plan_items(inputs, takes_urls=runner.takes_urls)
        _check(items, request, output_dir, overwrite=overwrite)
    except BadRequest as error:
        print_error(error.message)
        raise typer.Exit(USAGE) from error
    configure_logging(form="console", level="warning")
    raise typer.Exit(run_batch(BatchJob(items, request, runner, output_dir, overwrite)))


def _parse_formats(names: str) -> tuple[OutputFormat, ...]:
    try:
        return parse_formats(names)
    except ValueError as error:
        known = ", ".join(output_format.value for output_format in OutputFormat)
        raise BadRequest(f"Unknown format in {names!r}; use one of: {known}.") from error


def _parse_threshold(threshold: float | None, *, is_multilingual: bool) -> float | None:
    if is_multilingual:
        return SWITCH_THRESHOLD if threshold is None else threshold
    if threshold is not None:
        raise BadRequest("--language-detection-threshold needs --multilingual.")
    return None


def _refuse(reason: str, options: Mapping[str, object]) -> None:
    """Raise `BadRequest` for any of `options` that was given: none is accepted and ignored."""
    for name, value in options.items():
        if value:
            raise BadRequest(f"{name} {reason}.")


def _find_api_key(given: str | None) -> str | None:
    """Return the server's API key from the option or the environment; None if it is empty."""
    key = given or os.environ.get(API_KEY)
    if not key:
        return None
    check_sendable(key, "--api-key" if given else API_KEY)
    return key


def _parse_server_url(url: str) -> str:
    """Return the URL of a server without a slash at its end."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port that is not a number
        is_valid = False
    if not is_valid:
        raise BadRequest(f"--jobs-url {url!r} is invalid; use a URL such as http://host:8080.")
    return url.rstrip("/")


def _check_cues(request: BatchRequest) -> None:
    """Raise `BadRequest` for options that no cue can show."""
    if not any(output_format.has_cues for output_format in request.formats):
        for name in cue_params(request.cue_style):
            raise BadRequest(f"--{name.replace('_', '-')} needs --format srt or vtt.")
    if request.cue_style.max_line_count is not None and request.cue_style.max_line_width is None:
        raise BadRequest("--max-line-count needs --max-line-width.")
    if request.cue_style.highlight_words and request.options.task is Task.TRANSLATE:
        raise BadRequest(
            "--highlight-words is not supported with --task translate: the words of a translation "
            "are not in the audio."
        )


def _check(
    items: Sequence[BatchItem], request: BatchRequest, output_dir: Path | None, *, overwrite: bool
) -> None:
    """Raise `BadRequest` for options that contradict each other."""
    if any(isinstance(item.source, StandardInput) for item in items) and sys.stdin.isatty():
        raise BadRequest("Standard input is a terminal; pipe a recording into it.")
    if request.options.words and OutputFormat.JSON not in request.formats:
        raise BadRequest("--words needs --format json: other formats hold no word times.")
    _check_cues(request)
    if output_dir is not None:
        check_outputs(items, output_dir, [output_format.value for output_format in request.formats])
        return
    if sys.stdout is None:
        raise BadRequest("Standard output is closed; --output-dir writes files.")
    _refuse("needs --output-dir", {"--overwrite": overwrite})
    if len(request.formats) > 1:
        raise BadRequest("Several formats need --output-dir.")
    if len(items) > 1 and request.formats != (OutputFormat.TXT,):
        raise BadRequest(
            f"Several recordings as {request.formats[0].value} need --output-dir: "
            "printed one after another they would not be a valid file."
        )
