"""What an operator is told at the start about who may come in."""

import pytest
from fake_keys import NO_KEYS, FakeKeys
from pydantic import SecretStr
from structlog.testing import capture_logs

from whisperlive_hybrid.config import Settings, load_settings
from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.server.app import create_authenticator, warn_about_exposure


def warnings(settings: Settings, keys: FakeKeys = NO_KEYS) -> list[str]:
    """What is logged."""
    keeper = create_authenticator(settings, keys)
    with capture_logs() as lines:
        warn_about_exposure(settings, keeper)
    assert all(line["log_level"] == "warning" for line in lines)
    return [line["event"] for line in lines]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_an_open_server_for_this_machine_is_no_risk(host: str) -> None:
    """Nobody else can reach it."""
    assert warnings(load_settings(host=host)) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.9", "whisper"])  # noqa: S104 (nothing is bound)
def test_an_open_server_for_all_is_one_warning(host: str) -> None:
    """Which names the setting."""
    [line] = warnings(load_settings(host=host))
    assert "WHISPERLIVE_AUTH" in line


def test_a_server_that_nobody_can_use_is_told() -> None:
    """With the command that makes a key; any key will do, that of the environment too."""
    [line] = warnings(load_settings(auth=True))
    assert "whisperlive keys make" in line
    keys = FakeKeys()
    keys.made(1)
    assert warnings(load_settings(auth=True), keys) == []
    assert warnings(load_settings(auth=True, api_key=SecretStr("given"))) == []


def test_a_key_in_the_environment_asks_for_nothing_by_itself() -> None:
    """The same variable serves the command line: it must not lock a server that was open."""
    keeper = create_authenticator(load_settings(api_key=SecretStr("two words")), NO_KEYS)
    assert keeper.keys is None
    with pytest.raises(BadRequest, match="WHISPERLIVE_API_KEY"):
        create_authenticator(load_settings(auth=True, api_key=SecretStr("two words")), NO_KEYS)


def test_wrong_keys_are_held_back_unless_0_switches_it_off() -> None:
    """By default; a person who mistypes one a few times feels nothing of it."""
    usual = create_authenticator(load_settings(auth=True), NO_KEYS).wrong_keys
    assert usual is not None
    assert [bool(usual.record("192.0.2.1")) for _ in range(31)] == [False] * 30 + [True]
    assert (
        create_authenticator(load_settings(auth=True, wrong_keys_per_minute=0), NO_KEYS).wrong_keys
        is None
    )
