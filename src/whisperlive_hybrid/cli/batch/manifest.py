"""The manifest of a directory of transcripts: from which recording, and how, each was made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a recording, only compared for equality: no clock has to be right."""

    source: str
    """The path below the directory that was given, or the URL."""
    size: int | None = None
    """Bytes; None for a URL."""
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """The recording and the options that an output was made from."""

    state: SourceState
    options: str
    """Digest of everything that the text depends on."""


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A server's job for an output, submitted and not collected."""

    id: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Manifest:
    """Finished outputs by file name, and submitted jobs by name of the output."""

    outputs: Mapping[str, Provenance] = field(default_factory=dict)
    jobs: Mapping[str, PendingJob] = field(default_factory=dict)

    def with_outputs(self, names: Mapping[str, Provenance]) -> "Manifest":
        """Return a copy with further finished outputs."""
        return replace(self, outputs={**self.outputs, **names})

    def with_job(self, name: str, job: PendingJob) -> "Manifest":
        """Return a copy with a submitted job."""
        return replace(self, jobs={**self.jobs, name: job})

    def without_job(self, name: str) -> "Manifest":
        """Return a copy without a job; the job may be missing."""
        return replace(self, jobs={key: job for key, job in self.jobs.items() if key != name})


def digest(options: Mapping[str, object]) -> str:
    """Return a short digest of options of JSON types; equal options have equal digests."""
    canonical = json.dumps(options, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def dump_manifest(manifest: Manifest) -> str:
    """Serialise a manifest as one line of ASCII JSON."""
    # ASCII, because names of files may contain bytes that are not valid UTF-8. One line, because
    # with an indent Python takes ten times as long, after every file.
    body = {
        "version": VERSION,
        "outputs": {
            name: _provenance_body(provenance) for name, provenance in manifest.outputs.items()
        },
        "jobs": {
            name: {"job": job.id, **_provenance_body(job.provenance)}
            for name, job in manifest.jobs.items()
        },
    }
    return json.dumps(body) + "\n"


def load_manifest(text: str) -> Manifest:
    """Parse what `dump_manifest` wrote; raises `ValueError` for anything else."""
    try:
        body = _require_object(json.loads(text))
    except RecursionError as error:
        raise ValueError("brackets are nested too deeply") from error
    if body.get("version") != VERSION:
        raise ValueError(f"version {body.get('version')!r} is not {VERSION}")
    outputs, jobs = _require_object(body.get("outputs")), _require_object(body.get("jobs"))
    return Manifest(
        {name: _provenance(_require_object(entry)) for name, entry in outputs.items()},
        {
            name: PendingJob(
                _require_text(_require_object(entry), "job"), _provenance(_require_object(entry))
            )
            for name, entry in jobs.items()
        },
    )


def _provenance_body(provenance: Provenance) -> dict[str, object]:
    state = provenance.state
    return {
        "source": state.source,
        "size": state.size,
        "mtime_ns": state.mtime_ns,
        "options": provenance.options,
    }


def _provenance(entry: dict[str, object]) -> Provenance:
    state = SourceState(
        _require_text(entry, "source"),
        _require_number(entry, "size"),
        _require_number(entry, "mtime_ns"),
    )
    return Provenance(state, _require_text(entry, "options"))


def _require_object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not an object")  # noqa: TRY004 (the JSON is invalid)
    return value


def _require_text(entry: dict[str, object], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key}={value!r} is not a string")  # noqa: TRY004 (as above)
    return value


def _require_number(entry: dict[str, object], key: str) -> int | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, int):
        raise ValueError(f"{key}={value!r} is not an integer")
    return value
