"""Authentication by keys, wrong keys and trusted proxies."""

import pytest
from fake_keys import FakeKeys

from whisperlive_hybrid.auth.authenticator import MAX_TOKENS, Authenticator
from whisperlive_hybrid.auth.keys import REFUSAL_DELAY_S, KeyStore, WrongKeyLimiter
from whisperlive_hybrid.auth.network import TrustedProxies
from whisperlive_hybrid.errors import Unauthenticated


def test_one_valid_key_is_enough() -> None:
    """At any position among the tokens sent."""
    keys = FakeKeys()
    caller = Authenticator(KeyStore(keys)).authenticate("192.0.2.1", [], ["wrong", keys.made(1)])
    assert caller.key is not None
    assert (caller.address, caller.key.name) == ("192.0.2.1", "key 1")


def test_no_key_and_a_wrong_one_are_different_errors() -> None:
    """As OpenAI does; the wrong one is not repeated."""
    authenticator = Authenticator(KeyStore(FakeKeys()))
    with pytest.raises(Unauthenticated, match="didn't provide") as missing:
        authenticator.authenticate("a", [], ["", ""])
    assert missing.value.code is None
    with pytest.raises(Unauthenticated, match="Incorrect API key") as wrong:
        authenticator.authenticate("a", [], ["wlk_secret"])
    assert wrong.value.code == "invalid_api_key"
    assert "wlk" not in wrong.value.message


def test_tokens_per_request_are_bounded() -> None:
    """One request must not be a cheap way to try many keys, or to keep the server busy."""
    keys = FakeKeys()
    with pytest.raises(Unauthenticated):
        Authenticator(KeyStore(keys)).authenticate("a", [], ["wrong"] * MAX_TOKENS + [keys.made(1)])


def test_only_wrong_keys_are_delayed() -> None:
    """Neither a valid key from the same address nor a request without a key is delayed."""
    keys = FakeKeys()
    authenticator = Authenticator(KeyStore(keys), wrong_keys=WrongKeyLimiter(1, lambda: 1000.0))

    def pause(*shown: str) -> float:
        with pytest.raises(Unauthenticated) as refusal:
            authenticator.authenticate("192.0.2.1", [], shown)
        return refusal.value.answer_after_s

    assert [pause("wrong"), pause("wrong"), pause("wlk_any")] == [
        0,
        REFUSAL_DELAY_S,
        REFUSAL_DELAY_S,
    ]
    assert pause() == 0
    assert authenticator.authenticate("192.0.2.1", [], [keys.made(1)]).key


def test_without_keys_callers_are_known_by_address() -> None:
    """Tokens are ignored."""
    assert Authenticator().authenticate("192.0.2.1", [], ["anything"]).key is None


def test_a_key_counts_and_not_the_address_it_came_from() -> None:
    """The address is still reported, as the trusted proxy gives it."""
    keys = FakeKeys()
    authenticator = Authenticator(KeyStore(keys), TrustedProxies.parse("10.0.0.1"))
    caller = authenticator.authenticate("10.0.0.1", ["192.0.2.7"], [keys.made(1)])
    assert caller.address == "192.0.2.7"
    assert caller.account == "key:000000000001"


def test_the_owner_of_a_job_has_the_limits_that_its_key_has_now() -> None:
    """Also long after the submission; jobs of a revoked key still belong to its account."""
    keys = FakeKeys()
    authenticator = Authenticator(KeyStore(keys, "given"))
    keys.made(1)
    account = "key:000000000001"
    assert authenticator.caller_for(account).key == keys.known["000000000001"].key
    keys.revoke(1)
    owner = authenticator.caller_for(account)
    assert owner.account == account
    assert owner.key is not None
    assert owner.key.name == ""
    given = authenticator.caller_for("key:environment").key
    assert given is not None
    assert given.is_admin
    assert Authenticator().caller_for("address:192.0.2.1").account == "address:192.0.2.1"
