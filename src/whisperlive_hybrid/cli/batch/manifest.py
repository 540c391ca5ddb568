"""What is known of a directory of transcripts: from what, and how, each of them was made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Stamp:
    """The state of a recording. It is compared, never interpreted: no clock has to be right."""

    source: str
    """Its place below the directory that was given, or its URL."""
    size: int | None = None
    """Bytes; None for a URL."""
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """From what, and how, an output was made."""

    stamp: Stamp
    options: str
    """Digest of everything that the text depends on."""


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A job of a server that was asked for an output."""

    id: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Manifest:
    """The outputs that are done, by file name, and the jobs handed in, by name of the output."""

    outputs: Mapping[str, Origin] = field(default_factory=dict)
    jobs: Mapping[str, PendingJob] = field(default_factory=dict)

    def with_outputs(self, names: Mapping[str, Origin]) -> "Manifest":
        """The same with outputs that are done now."""
        return replace(self, outputs={**self.outputs, **names})

    def with_job(self, name: str, job: PendingJob) -> "Manifest":
        """The same with a job that was handed in."""
        return replace(self, jobs={**self.jobs, name: job})

    def without_job(self, name: str) -> "Manifest":
        """The same without a job, whether or not it was there."""
        return replace(self, jobs={key: job for key, job in self.jobs.items() if key != name})


def digest(options: Mapping[str, object]) -> str:
    """A short name for options that JSON can hold; equal options have equal names."""
    canonical = json.dumps(options, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def dumped(manifest: Manifest) -> str:
    """As JSON; ASCII only, since names of files may hold bytes that are no text.

    In one line: with an indent, Python takes ten times as long, after every file.
    """
    body = {
        "version": VERSION,
        "outputs": {name: _origin_body(origin) for name, origin in manifest.outputs.items()},
        "jobs": {
            name: {"job": job.id, **_origin_body(job.origin)} for name, job in manifest.jobs.items()
        },
    }
    return json.dumps(body) + "\n"


def loaded(text: str) -> Manifest:
    """The manifest that `dumped` wrote; raises `ValueError` for anything else."""
    try:
        body = _object(json.loads(text))
    except RecursionError as error:
        raise ValueError("brackets without end") from error
    if body.get("version") != VERSION:
        raise ValueError(f"version {body.get('version')!r} is not {VERSION}")
    outputs, jobs = _object(body.get("outputs")), _object(body.get("jobs"))
    return Manifest(
        {name: _origin(_object(entry)) for name, entry in outputs.items()},
        {name: _job(_object(entry)) for name, entry in jobs.items()},
    )


def _origin_body(origin: Origin) -> dict[str, object]:
    stamp = origin.stamp
    return {
        "source": stamp.source,
        "size": stamp.size,
        "mtime_ns": stamp.mtime_ns,
        "options": origin.options,
    }


def _job(entry: dict[str, object]) -> PendingJob:
    return PendingJob(_text(entry, "job"), _origin(entry))


def _origin(entry: dict[str, object]) -> Origin:
    stamp = Stamp(_text(entry, "source"), _number(entry, "size"), _number(entry, "mtime_ns"))
    return Origin(stamp, _text(entry, "options"))


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"an object is missing: {value!r}")  # noqa: TRY004 (it is JSON at fault)
    return value


def _text(entry: dict[str, object], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key}={value!r} is no text")  # noqa: TRY004 (as above)
    return value


def _number(entry: dict[str, object], key: str) -> int | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, int):
        raise ValueError(f"{key}={value!r} is no whole number")
    return value
