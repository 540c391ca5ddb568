"""Keys of tokens, their parsing, and the rate limit on wrong ones."""

import hashlib
import hmac
from itertools import repeat

import pytest
from fake_keys import NO_KEYS, FakeKeys
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.auth.keys import (
    ENVIRONMENT,
    MAX_TOKEN_LENGTH,
    REFUSAL_DELAY_S,
    KeyStore,
    WrongKeyLimiter,
    format_token,
    parse_token,
)
from whisperlive_hybrid.errors import BadRequest


def test_only_the_whole_token_of_a_key_is_valid() -> None:
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
    """No client could send it."""
    with pytest.raises(BadRequest, match="WHISPERLIVE_API_KEY"):
        KeyStore(NO_KEYS, token)


def test_no_token_finds_the_placeholder_key() -> None:
    """Neither the placeholder for unknown ids nor the id of the environment's key is a token."""
    store = KeyStore(NO_KEYS)
    for shown in ("", "environment", "\0" * 32, "wlk__"):
        assert store.find(shown) is None


ID, SECRET = "7f3a00000001", "ab" * 32
TOKEN = format_token(ID, SECRET)


def test_a_token_names_its_key_and_is_kept_as_a_digest() -> None:
    """The id finds the key; SHA-256 of the whole text is stored."""
    token = parse_token(TOKEN)
    assert token.key_id == ID
    assert token.digest == hashlib.sha256(TOKEN.encode()).digest()


@pytest.mark.parametrize(
    "shown",
    ["", TOKEN.upper(), TOKEN + " ", TOKEN[:-1], TOKEN + "0", f" {TOKEN}", TOKEN.replace("_", "-")],
)
def test_what_has_not_our_form_names_no_key(shown: str) -> None:
    """Not even if it differs in one character."""
    assert parse_token(shown).key_id == ""


@given(st.text(st.characters(), max_size=2 * MAX_TOKEN_LENGTH))
def test_anything_can_be_read(shown: str) -> None:
    """NUL, surrogates, other scripts: a digest, and never that of a real key."""
    assert parse_token(shown).digest != parse_token(TOKEN).digest


def test_what_is_too_long_is_not_hashed() -> None:
    """Megabytes cost no CPU time; the digest is that of the empty text."""
    assert parse_token("x" * (MAX_TOKEN_LENGTH + 1)) == parse_token("")
    assert parse_token("x" * MAX_TOKEN_LENGTH) != parse_token("")


def test_a_few_wrong_keys_are_rejected_at_once_and_others_delayed() -> None:
    """A mistyped key is not delayed; every further wrong key is."""
    wrong = WrongKeyLimiter(per_minute=3, clock=repeat(1000.0).__next__)
    assert [wrong.record("192.0.2.1") for _ in range(6)] == [
        0,
        0,
        0,
        REFUSAL_DELAY_S,
        REFUSAL_DELAY_S,
        REFUSAL_DELAY_S,
    ]


def test_an_address_without_wrong_keys_for_a_minute_is_not_delayed() -> None:
    """After a minute the limit is available again."""
    clock = iter([1000.0, 1000.0, 1060.0])
    wrong = WrongKeyLimiter(per_minute=1, clock=clock.__next__)
    assert [wrong.record("192.0.2.1") for _ in range(3)] == [0, REFUSAL_DELAY_S, 0]


def test_addresses_have_separate_limits() -> None:
    """All addresses of an IPv6 /64 share one: they belong to one customer."""
    wrong = WrongKeyLimiter(per_minute=1, clock=repeat(1000.0).__next__)
    shown = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:1::"]
    assert [bool(wrong.record(address)) for address in shown] == [
        *(False, False, True),
        *(False, True, False),
    ]
