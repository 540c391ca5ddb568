import pytest
from command_line import whisperlive
from flat_settings import FIELDS, flat
from paths import ROOT

from whisperlive_hybrid.cli import settings as reference
from whisperlive_hybrid.config import GROUPS, load_settings
from whisperlive_hybrid.errors import BadRequest

PAGE = ROOT / "docs" / "settings.md"

ROWS = [row for _, rows in reference.sections() for row in rows]


def test_the_page_is_current() -> None:
    """docs/settings.md is what the class says; `make docs` writes it."""
    assert PAGE.read_text(encoding="utf-8") == reference.as_markdown(), "run `make docs`"


def test_the_command_writes_the_page() -> None:
    """Whatever the environment says: a page tells defaults."""
    done = whisperlive("settings", "--markdown", HTTP_PORT="9", COLUMNS="20")
    assert done.returncode == 0, done.stderr
    assert done.stdout == reference.as_markdown()


def test_every_setting_has_one_row_and_a_meaning() -> None:
    """In the order of the class, and under a title."""
    assert [row.field for row in ROWS] == list(FIELDS)
    assert [row.variable for row in ROWS if not row.meaning] == []
    assert list(reference.SECTIONS) == list(GROUPS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.field)
def test_a_row_names_the_variable_that_is_read(
    row: reference.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written there has its effect, if only that of being refused."""
    bare = flat(load_settings())[row.field]
    monkeypatch.setenv(row.variable, "no/such value")
    try:
        assert flat(load_settings())[row.field] != bare
    except BadRequest as refusal:
        assert "no/such value" in refusal.message  # noqa: PT017 (either is an effect)


def test_values_in_force_are_shown_and_secrets_are_not() -> None:
    """An operator checks what a server would start with, and may show it to others."""
    secret = "hush"  # noqa: S105 (opens nothing)
    done = whisperlive("settings", HTTP_PORT="8099", WHISPERLIVE_WEBHOOK_SECRET=secret)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "HTTP_PORT = 8099   (default: 8080)" in lines
    assert "PORT_WHISPERLIVE = 5050" in lines
    assert "WHISPERLIVE_WEBHOOK_SECRET = set, not shown   (default: unset)" in lines
    assert secret not in done.stdout
    assert "](" not in done.stdout


def test_settings_that_make_no_sense_are_told_there_too() -> None:
    """The page is to be had all the same."""
    done = whisperlive("settings", HTTP_PORT="eighty")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "HTTP_PORT='eighty'" in done.stderr
