"""The reference of all settings: docs/settings.md, and `whisperlive settings`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from whisperlive_hybrid.config import GROUPS, Settings

SECTIONS: Final = {
    "server": "Servers",
    "auth": "Keys",
    "quotas": "Limits of each caller",
    "model": "Models",
    "live": "Live streams",
    "files": "Files",
    "fetch": "Recordings from URLs, and webhooks",
    "jobs": "Jobs",
    "telemetry": "Logs, metrics and traces",
}
"""The titles of the groups of settings."""

OPENING: Final = """\
# Settings

The server reads its settings from the environment at the start. Options of the command line take
precedence. An invalid value ends the start with one line that names it. An empty value is the same
as none. Numbers are finite and at most 1,000,000,000. `whisperlive settings` shows the values in
force.

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
        "Directory of uploads in progress; it must be writable",
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
"""Variables that are read by libraries or by other programs."""


def sections() -> Iterator[tuple[str, list[Setting]]]:
    """Yield the titles with their settings, in the order of the groups."""
    for subject, group in GROUPS.items():
        rows = [_setting(name, field) for name, field in group.model_fields.items()]
        yield SECTIONS[subject], rows


def as_markdown() -> str:
    """Return docs/settings.md."""
    tables = [_table(title, rows) for title, rows in sections()]
    return "\n".join([OPENING, *tables, _table("Variables of libraries", OTHERS)])


def in_force(settings: Settings, setting: Setting) -> str:
    """Return the value in force, never that of a secret."""
    [group] = [group for group in GROUPS if setting.field in GROUPS[group].model_fields]
    return _format(settings.model_dump()[group][setting.field])


def _setting(name: str, field: FieldInfo) -> Setting:
    """Return the row of a field; a default that depends on the machine is described by its text."""
    alias = field.validation_alias
    variable = alias if isinstance(alias, str) else f"WHISPERLIVE_{name.upper()}"
    default = "see there" if field.default_factory else _format(field.default)
    return Setting(name, variable, default, " ".join((field.description or "").split()))


def _table(title: str, rows: Sequence[Setting]) -> str:
    """One section."""
    lines = [f"## {title}", "", "| variable | default | meaning |", "|---|---|---|"]
    for row in rows:
        meaning = row.meaning.replace("|", r"\|").removesuffix(".")
        lines.append(f"| `{row.variable}` | {row.default} | {meaning} |")
    return "\n".join([*lines, ""])


def _format(value: object) -> str:
    """Return a value as it is written in the environment."""
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
