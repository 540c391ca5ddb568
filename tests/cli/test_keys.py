"""`whisperlive keys`, as it is typed."""

import re
from pathlib import Path

import pytest
from command_line import whisperlive

from whisperlive_hybrid.cli.keys import keys_app
from whisperlive_hybrid.errors import BadRequest

TOKEN = re.compile(r"wlk_([0-9a-f]{12})_[0-9a-f]{64}\n")


def keys(directory: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code and what was printed."""
    done = whisperlive("keys", *arguments, WHISPERLIVE_DATA_DIR=str(directory), COLUMNS="80")
    return done.returncode, done.stdout, done.stderr


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    """Only its text is on standard output, so it can be piped; nothing shows it again."""
    code, token, notes = keys(tmp_path, "make", "cap[tions]", "--admin", "--live-streams", "2")
    found = TOKEN.fullmatch(token)
    assert code == 0
    assert found, token
    assert token.strip() not in notes
    assert "WHISPERLIVE_AUTH" in notes

    _, listed, _ = keys(tmp_path, "list")
    assert found[1] in listed
    assert "cap[tions] (admin)" in listed
    assert "2 live" in listed
    assert token.strip()[17:] not in listed
    assert token.strip().encode() not in (tmp_path / "access.db").read_bytes()

    assert keys(tmp_path, "revoke", found[1])[0] == 0
    assert found[1] not in keys(tmp_path, "list")[1]
    assert "revoked" in keys(tmp_path, "list", "--all")[1]


@pytest.mark.parametrize("name", [" ", "a\nb", "x" * 101])
def test_a_name_that_cannot_be_listed_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no key is made."""
    monkeypatch.setenv("WHISPERLIVE_DATA_DIR", str(tmp_path))
    with pytest.raises(BadRequest, match="1 to 100 printable"):
        keys_app(["make", name])
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_is_one_line(tmp_path: Path) -> None:
    """It cannot be revoked, and the command says so."""
    code, printed, error = keys(tmp_path, "revoke", "7f3a")
    assert (code, printed) == (1, "")
    assert "no valid key '7f3a'" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--requests-per-minute", "9" * 23),
        ("--live-streams", "9" * 23),
        ("--audio-seconds-per-day", "9" * 400),
        ("--audio-seconds-per-day", "inf"),
    ],
)
def test_a_limit_without_end_is_refused(
    tmp_path: Path,
    option: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As it is in the settings; 0 is what stands for no limit."""
    monkeypatch.setenv("WHISPERLIVE_DATA_DIR", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        keys_app(["make", "captions", option, value])
    assert ended.value.code == 2
    assert f"Invalid value for '{option}'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
