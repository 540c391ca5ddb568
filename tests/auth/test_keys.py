"""Whose a token is."""

import hmac

import pytest
from fake_keys import NO_KEYS, FakeKeys

from whisperlive_hybrid.auth.keys import ENVIRONMENT, KeyStore
from whisperlive_hybrid.errors import BadRequest


def test_a_key_opens_and_nothing_else_does() -> None:
    """Neither the secret of one under the id of another, nor an unknown id, nor a bare secret."""
    keys = FakeKeys()
    first, second = keys.made(1), keys.made(2)
    store = KeyStore(keys)
    found = store.find(first)
    assert found is not None
    assert found.name == "key 1"
    crossed = first[:17] + second[17:]
    for wrong in (crossed, first.replace("01_", "09_"), first[17:], "", first[:-1]):
        assert store.find(wrong) is None


def test_a_change_is_seen_at_once_and_otherwise_nothing_is_read() -> None:
    """A new key opens at the next request, a revoked one no more; requests read no keys."""
    keys = FakeKeys()
    store = KeyStore(keys)
    token = keys.made(1)
    assert store.find(token) is not None
    keys.revoke(1)
    assert store.find(token) is None
    looks = keys.looks
    for _ in range(10):
        assert store.find("wlk_no") is None
    assert keys.looks == looks


def test_every_token_is_compared_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right or wrong, known id or none: one hash, two comparisons, in constant time each."""
    keys = FakeKeys()
    token = keys.made(1)
    store = KeyStore(keys, "given")
    compared = list[int]()

    def counted(a: bytes, b: bytes) -> bool:
        compared.append(len(a) + len(b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for shown in (token, token[:-1] + "0", token.replace("01_", "09_"), "given", "x" * 9999, "\0"):
        store.find(shown)
        assert compared == [64, 64]
        compared.clear()


def test_the_key_of_the_environment_is_an_admins() -> None:
    """Any text that can be sent in a header, beside the keys of the file."""
    store = KeyStore(NO_KEYS, "correct-horse")
    assert store.find("correct-horse") == ENVIRONMENT
    assert ENVIRONMENT.is_admin
    assert store.find("correct-hors") is None
    assert not store.is_empty
    assert KeyStore(NO_KEYS).is_empty


@pytest.mark.parametrize("token", ["two words", "schlüssel", "tab\t", "\n", "x" * 600])
def test_a_key_that_no_header_can_hold_is_refused_at_the_start(token: str) -> None:
    """It could never be shown as it was meant."""
    with pytest.raises(BadRequest, match="WHISPERLIVE_API_KEY"):
        KeyStore(NO_KEYS, token)


def test_no_token_finds_the_key_that_nobody_has() -> None:
    """What unknown ids are held against is no way in, nor is the id of the environment."""
    store = KeyStore(NO_KEYS)
    for shown in ("", "environment", "\0" * 32, "wlk__"):
        assert store.find(shown) is None
