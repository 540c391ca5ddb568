"""How keys are written and read."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.auth.keys import MAX_TOKEN_LENGTH, format_token, parse_token

ID, SECRET = "7f3a00000001", "ab" * 32
TOKEN = format_token(ID, SECRET)


def test_a_token_names_its_key_and_is_kept_as_a_digest() -> None:
    """The id finds the key; what is kept is SHA-256 of the whole text."""
    token = parse_token(TOKEN)
    assert token.key_id == ID
    assert token.digest == hashlib.sha256(TOKEN.encode()).digest()


@pytest.mark.parametrize(
    "shown",
    ["", TOKEN.upper(), TOKEN + " ", TOKEN[:-1], TOKEN + "0", f" {TOKEN}", TOKEN.replace("_", "-")],
)
def test_what_has_not_our_form_names_no_key(shown: str) -> None:
    """Not even nearly."""
    assert parse_token(shown).key_id == ""


@given(st.text(st.characters(), max_size=2 * MAX_TOKEN_LENGTH))
def test_anything_can_be_read(shown: str) -> None:
    """NUL, halves of characters, other scripts: an answer, and never that of a real key."""
    assert parse_token(shown).digest != parse_token(TOKEN).digest


def test_what_is_too_long_is_not_hashed() -> None:
    """Sending megabytes does not buy computing time; the digest is that of nothing."""
    assert parse_token("x" * (MAX_TOKEN_LENGTH + 1)) == parse_token("")
    assert parse_token("x" * MAX_TOKEN_LENGTH) != parse_token("")
