"""Record the output of a server for recordings, byte for byte, to compare it after a change.

A refactoring must change no text, token or time. Record before it and after it, and compare:

    whisperlive serve --model base &
    python tools/record_texts.py record ../shared/speech before.jsonl
    python tools/record_texts.py compare before.jsonl after.jsonl

The script uses only public interfaces (HTTP, jobs, command line), so that it runs unchanged on
every version. Each recording is uploaded in `verbose_json` with words, those of at most a minute in
the other formats too; each is a job whose result is downloaded in every format; all are transcribed
with `whisperlive transcribe`; and those with references are live streams, which `whisperlive
evaluate` replays independently of the machine's speed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any, Final

import httpx

FORMATS: Final = ("json", "text", "srt", "vtt", "verbose_json")
SHORT_S: Final = 60.0
"""Longer recordings are uploaded in `verbose_json` only; their jobs have all formats."""
AT_ONCE: Final = 2
"""Concurrent requests. Results must not depend on their number: that is a law of the engine."""
WORDS: Final = {"timestamp_granularities[]": ["word", "segment"]}

LONGEST_S: Final = 3600.0
"""Timeout of a response: the longest recordings take minutes."""

Entry = tuple[str, str, Any]
"""Way, recording, result."""


def main() -> int:
    """Record or compare, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record")
    record.add_argument("directory", type=Path, help="recordings with manifest.jsonl")
    record.add_argument("output", type=Path)
    record.add_argument("--url", default="http://127.0.0.1:8080")
    record.add_argument("--model", default="base", help="of the command line's part")
    record.add_argument("--limit", type=int, help="only the first N recordings")
    record.add_argument("--ways", default="http,jobs,cli,live")
    compare = commands.add_parser("compare")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return differences(given.before, given.after)
    lines = (given.directory / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    recordings = [json.loads(line) for line in lines][: given.limit]
    with given.output.open("w", encoding="utf-8") as output:
        for way in given.ways.split(","):
            for entry in WAYS[way](given, recordings):
                output.write(json.dumps(entry, ensure_ascii=False) + "\n")
    return 0


def uploads(given: argparse.Namespace, recordings: Sequence[dict[str, Any]]) -> Iterator[Entry]:
    """Upload each recording to the OpenAI audio API."""
    with httpx.Client(base_url=given.url, timeout=LONGEST_S) as http:

        def transcribe(recording: dict[str, Any], form: str) -> Entry:
            data: dict[str, Any] = _fields(recording) | {"response_format": form}
            data |= WORDS if form == "verbose_json" else {}
            with (given.directory / recording["file"]).open("rb") as file:
                response = http.post("/v1/audio/transcriptions", data=data, files={"file": file})
            return f"http {form}", recording["id"], [response.status_code, response.text]

        pairs = [
            (recording, form)
            for recording in recordings
            for form in FORMATS
            if form == "verbose_json" or recording["seconds"] <= SHORT_S
        ]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from pool.map(lambda pair: transcribe(*pair), pairs)


def jobs(given: argparse.Namespace, recordings: Sequence[dict[str, Any]]) -> Iterator[Entry]:
    """Submit a job for each recording, and download its result in every format."""
    with httpx.Client(base_url=given.url, timeout=LONGEST_S) as http:
        for recording in recordings:
            with (given.directory / recording["file"]).open("rb") as file:
                data = _fields(recording) | WORDS
                job = http.post("/v1/jobs", data=data, files={"file": file}).json()
            while job.get("status") in {"queued", "running"}:
                sleep(0.1)
                job = http.get(f"/v1/jobs/{job['id']}").json()
            for form in FORMATS:
                response = http.get(f"/v1/jobs/{job['id']}/result", params={"format": form})
                yield f"job {form}", recording["id"], [response.status_code, response.text]
            http.delete(f"/v1/jobs/{job['id']}")


def commands(given: argparse.Namespace, recordings: Sequence[dict[str, Any]]) -> Iterator[Entry]:
    """Transcribe all recordings of a language with one command."""
    for language in sorted({_language(recording) for recording in recordings}):
        selected = [recording for recording in recordings if _language(recording) == language]
        with tempfile.TemporaryDirectory() as outputs:
            files = [str(given.directory / recording["file"]) for recording in selected]
            arguments = ["transcribe", "--model", given.model, "--language", language, "--words"]
            arguments += ["--format", "txt,srt,vtt,json", "--output-dir", outputs, *files]
            _run(*arguments)
            for file in sorted(Path(outputs).iterdir()):
                if not file.name.startswith("."):
                    yield f"cli {language}", file.name, file.read_text(encoding="utf-8")


def live(given: argparse.Namespace, recordings: Sequence[dict[str, Any]]) -> Iterator[Entry]:
    """Replay the recordings that have references as live streams."""
    languages = sorted({recording["language"] for recording in recordings})
    with tempfile.TemporaryDirectory() as outputs:
        report = Path(outputs) / "report.json"
        limit = [] if given.limit is None else ["--limit", "1"]
        arguments = ["evaluate", str(given.directory), "--ways", "live", "--model", given.model]
        arguments += ["--languages", ",".join(languages), "--json", str(report), *limit]
        _run(*arguments)
        for recording in json.loads(report.read_text(encoding="utf-8"))["recordings"]:
            yield "live", recording["id"], _without_cpu(recording)


WAYS: Final = {"http": uploads, "jobs": jobs, "cli": commands, "live": live}


def _fields(recording: dict[str, Any]) -> dict[str, Any]:
    language = _language(recording)
    return {} if language == "auto" else {"language": language}


def _language(recording: dict[str, Any]) -> str:
    language = recording.get("language") or "und"
    return "auto" if len(language) != 2 else str(language)


def _run(*arguments: str) -> None:
    whisperlive = Path(sys.executable).with_name("whisperlive")
    # Recordings that cannot be decoded make the command fail; what it wrote is compared as well.
    subprocess.run([whisperlive, *arguments], env=dict(os.environ), check=False)


def _without_cpu(value: object) -> object:
    """Return a report without its measured times, which differ from run to run."""
    if isinstance(value, dict):
        return {key: _without_cpu(inner) for key, inner in value.items() if "cpu" not in key}
    return [_without_cpu(inner) for inner in value] if isinstance(value, list) else value


def differences(before: Path, after: Path) -> int:
    """Print the results that differ; return 1 if any does."""
    old, new = (
        {
            (way, name): result
            for way, name, result in map(json.loads, file.read_text("utf-8").splitlines())
        }
        for file in (before, after)
    )
    # Above temperature 0 tokens are drawn at random: such recordings differ from run to run.
    sampled = _find_sampled(old) | _find_sampled(new)
    unequal = [
        (way, name)
        for way, name in sorted(old.keys() | new.keys())
        if old.get((way, name)) != new.get((way, name)) and name.partition(".")[0] not in sampled
    ]
    for way, name in unequal:
        print(f"{way}, {name}:")
        print(f"  before {json.dumps(old.get((way, name)), ensure_ascii=False)[:300]}")
        print(f"  after  {json.dumps(new.get((way, name)), ensure_ascii=False)[:300]}")
    print(f"{len(old)} results before, {len(new)} after, {len(unequal)} unequal")
    print(f"Left out, since they were sampled at a temperature: {', '.join(sorted(sampled))}")
    return 1 if unequal else 0


def _find_sampled(results: dict[tuple[str, str], Any]) -> set[str]:
    """Return the recordings with a segment of a temperature above 0."""
    return {
        name
        for (way, name), result in results.items()
        if way.endswith("verbose_json")
        and re.search(r'"temperature": ?0\.[1-9]|"temperature": ?1', result[1])
    }


if __name__ == "__main__":
    sys.exit(main())
