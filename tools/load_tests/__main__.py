"""Programs that put a server under load: `PYTHONPATH=tools python -m load_tests --help`."""

from pathlib import Path
from typing import Annotated

import anyio
import typer
from load_tests.command import measure_idle_load
from load_tests.keys_command import measure_wrong_keys
from load_tests.profile import format_profile, profile_file

from whisperlive_hybrid.cli.terminal import out
from whisperlive_hybrid.config import load_settings
from whisperlive_hybrid.system import tune_process
from whisperlive_hybrid.types import DecodeOptions

app = typer.Typer(help="Put a server under load, and profile it.", no_args_is_help=True)
idle_load_command = app.command("idle-load")(measure_idle_load)
wrong_keys_command = app.command("wrong-keys")(measure_wrong_keys)


@app.command()
def profile(
    clips: Annotated[Path, typer.Option(help="Folder of clips with manifest.json.")],
    model: Annotated[str, typer.Option(help="The model, as for `whisperlive serve`.")] = "demo",
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of the recording.")] = 5,
    no_retry: Annotated[
        bool,
        typer.Option("--no-retry", help="Never retry at a higher temperature, as batched peers."),
    ] = False,
    language: Annotated[str, typer.Option(help="Language of the clips.")] = "en",
    seed: Annotated[int, typer.Option(help="Random seed of sentences and pauses.")] = 0,
) -> None:
    """Transcribe a long recording in this process, and print its CPU time by kind of work."""
    settings = load_settings(model=model)
    options = DecodeOptions(temperatures=(0.0,)) if no_retry else DecodeOptions()
    result = anyio.run(profile_file, settings.model, clips, options, language, minutes * 60, seed)
    for line in format_profile(result):
        out.print(line, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    tune_process()
    app()
