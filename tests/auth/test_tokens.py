"""How keys are written and read."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.auth.keys import LONGEST_TOKEN, read, token_of

ID, SECRET = "7f3a00000001", "ab" * 32
TOKEN = token_of(ID, SECRET)


def test_a_token_names_its_key_and_is_kept_as_a_digest() -> None:
    """The id finds the key; what is kept is SHA-256 of the whole text."""
    token = read(TOKEN)
    assert token.key_id == ID
    assert token.digest == hashlib.sha256(TOKEN.encode()).digest()


@pytest.mark.parametrize(
    "shown",
    ["", TOKEN.upper(), TOKEN + " ", TOKEN[:-1], TOKEN + "0", f" {TOKEN}", TOKEN.replace("_", "-")],
)
def test_what_has_not_our_form_names_no_key(shown: str) -> None:
    """Not even nearly."""
    assert read(shown).key_id == ""


@given(st.text(st.characters(), max_size=2 * LONGEST_TOKEN))
def test_anything_can_be_read(shown: str) -> None:
    """NUL, halves of characters, other scripts: an answer, and never that of a real key."""
    assert read(shown).digest != read(TOKEN).digest


def test_what_is_too_long_is_not_hashed() -> None:
    """Sending megabytes does not buy computing time; the digest is that of nothing."""
    assert read("x" * (LONGEST_TOKEN + 1)) == read("")
    assert read("x" * LONGEST_TOKEN) != read("")
