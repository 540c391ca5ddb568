"""`whisperlive keys`, as it is typed."""

import re
from pathlib import Path

import pytest
from command_line import whisperlive

TOKEN = re.compile(r"wlk_([0-9a-f]{12})_[0-9a-f]{64}\n")


def keys(directory: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code and what was printed."""
    done = whisperlive("keys", *arguments, WHISPERLIVE_DATA_DIR=str(directory), COLUMNS="80")
    return done.returncode, done.stdout, done.stderr


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    """Only its text is on standard output, so it can be piped; nothing shows it again."""
    code, token, told = keys(tmp_path, "make", "cap[tions]", "--admin", "--live-streams", "2")
    found = TOKEN.fullmatch(token)
    assert code == 0
    assert found, token
    assert token.strip() not in told
    assert "WHISPERLIVE_AUTH" in told

    _, listed, _ = keys(tmp_path, "list")
    assert found[1] in listed
    assert "cap[tions] (admin)" in listed
    assert "2 live" in listed
    assert token.strip()[17:] not in listed
    assert token.strip().encode() not in (tmp_path / "access.db").read_bytes()

    assert keys(tmp_path, "revoke", found[1])[0] == 0
    assert found[1] not in keys(tmp_path, "list")[1]
    assert "revoked" in keys(tmp_path, "list", "--all")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("revoke", "7f3a"), "no valid key '7f3a'"),
        (("make", " "), "1 to 100 printable"),
        (("make", "a\nb"), "1 to 100 printable"),
        (("make", "x" * 101), "1 to 100 printable"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """And changes nothing."""
    code, printed, told = keys(tmp_path, *arguments)
    assert (code, printed) == (1, "")
    assert message in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--requests-per-minute", "9" * 23),
        ("--live-streams", "9" * 23),
        ("--audio-seconds-per-day", "9" * 400),
        ("--audio-seconds-per-day", "inf"),
    ],
)
def test_a_limit_without_end_is_refused(tmp_path: Path, option: str, value: str) -> None:
    """As it is in the settings; 0 is what stands for no limit."""
    code, printed, told = keys(tmp_path, "make", "captions", option, value)
    assert (code, printed) == (2, "")
    assert f"Invalid value for '{option}'" in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []
