"""The settings as an operator reads them: a row for each, in sections; docs/settings.md is this."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from whisperlive_hybrid.config import Settings

SECTIONS: Final = {
    "host": "Doors",
    "requests_per_minute": "Limits of each caller",
    "model": "Model",
    "models": "More models",
    "max_clients": "Live streams",
    "max_upload_mb": "Files",
    "fetch": "Recordings from URLs, and webhooks",
    "data_dir": "Jobs",
    "log_format": "Logs, metrics and traces",
}
"""A section begins at the field named here and lasts until the next, in the order of the class."""

OPENING: Final = """\
# Settings

Read from the environment once, at the start. An option of the command line wins over the
environment; what does not make sense ends the start in one line that names it. An empty
value is as good as none: the default holds. Numbers are finite and at most 1,000,000,000.
`whisperlive settings` shows which values are in force.

This page is written by `make docs` from `src/whisperlive_hybrid/config.py`.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: the variable, its default and its meaning, in Markdown."""

    field: str
    variable: str
    default: str
    meaning: str

    @property
    def plain_meaning(self) -> str:
        """The meaning for a terminal: links and backticks are only their text."""
        return re.sub(r"\[([^]]+)]\([^)]+\)", r"\1", self.meaning).replace("`", "")


OTHERS: Final = (
    Setting("", "HF_HUB_OFFLINE", "unset", "1 keeps model lookups off the network"),
    Setting("", "HF_HOME", "`~/.cache/huggingface`", "Where downloaded models are kept"),
    Setting(
        "",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "`http://localhost:4318`",
        "Where traces go with `WHISPERLIVE_OTEL`; the other variables of OpenTelemetry hold too, "
        "such as `OTEL_SERVICE_NAME` and `OTEL_TRACES_SAMPLER`",
    ),
    Setting(
        "",
        "TMPDIR",
        "`/tmp`",
        "Where uploads lie while they are read; no server starts that cannot write there",
    ),
    Setting("", "XDG_DATA_HOME", "`~/.local/share`", "See `WHISPERLIVE_DATA_DIR`"),
    Setting(
        "",
        "SSL_CERT_FILE",
        "unset",
        "Certificate authorities for `https` URLs in place of the system's, a PEM file; certifi's "
        "stay trusted",
    ),
)
"""What matters here and is no setting of ours: read by libraries, or by other commands."""


def sections() -> Iterator[tuple[str, list[Setting]]]:
    """The titles with their settings, in the order of the class."""
    rows = [_setting(name, field) for name, field in Settings.model_fields.items()]
    starts = [place for place, row in enumerate(rows) if row.field in SECTIONS]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield SECTIONS[rows[start].field], rows[start:end]


def as_markdown() -> str:
    """All of docs/settings.md."""
    tables = [_table(title, rows) for title, rows in sections()]
    return "\n".join([OPENING, *tables, _table("Variables of others", OTHERS)])


def in_force(settings: Settings, setting: Setting) -> str:
    """The value that holds, never that of a secret."""
    return _shown(settings.model_dump()[setting.field])


def _setting(name: str, field: FieldInfo) -> Setting:
    """One field as a row; a default that depends on the machine is told by its meaning."""
    alias = field.validation_alias
    variable = alias if isinstance(alias, str) else f"WHISPERLIVE_{name.upper()}"
    default = "see there" if field.default_factory else _shown(field.default)
    return Setting(name, variable, default, " ".join((field.description or "").split()))


def _table(title: str, rows: Sequence[Setting]) -> str:
    """One section."""
    lines = [f"## {title}", "", "| variable | default | meaning |", "|---|---|---|"]
    for row in rows:
        meaning = row.meaning.replace("|", r"\|").removesuffix(".")
        lines.append(f"| `{row.variable}` | {row.default} | {meaning} |")
    return "\n".join([*lines, ""])


def _shown(value: object) -> str:
    """A value as one would write it into the environment."""
    match value:
        case None:
            return "unset"
        case "":
            return "empty"
        case SecretStr():
            return "set, not shown"
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)
