"""On whom work is booked."""

import pytest

from whisperlive_hybrid.auth.caller import ApiKey, Caller, Limits


def test_a_key_answers_for_all_the_addresses_it_is_used_from() -> None:
    """Moving to another network gives nobody a second allowance."""
    key = ApiKey("7f3a", "captions")
    assert Caller("192.0.2.1", key).account == Caller("192.0.2.2", key).account


def test_without_a_key_the_address_answers() -> None:
    """Two strangers do not share an allowance."""
    assert Caller("192.0.2.1").account != Caller("192.0.2.2").account


def test_an_address_that_looks_like_a_key_is_none() -> None:
    """Accounts of addresses and of keys never meet."""
    assert Caller("7f3a").account != Caller("192.0.2.1", ApiKey("7f3a", "captions")).account


@pytest.mark.parametrize(
    "caller",
    [
        Caller("192.0.2.1"),
        Caller("2001:db8::1"),
        Caller(""),
        Caller("192.0.2.1", ApiKey("7f3a", "captions", Limits(1, 2, 3))),
    ],
)
def test_an_account_leads_back_to_its_caller(caller: Caller) -> None:
    """A job knows an account only, and is booked on whoever handed it in, with its limits."""
    found = Caller.from_account(caller.account, caller.key)
    assert (found.account, found.key) == (caller.account, caller.key)


def test_a_key_that_is_gone_has_no_limits_of_its_own() -> None:
    """Its jobs still run, and are still its own."""
    assert Caller.from_account("key:7f3a", None) == Caller("", ApiKey("7f3a", ""))


def test_a_subscriber_of_ipv6_has_one_account() -> None:
    """Another address out of its 2**64 gives nobody a second allowance."""
    assert Caller("2001:db8::1").account == Caller("2001:db8::ffff").account


def test_keys_keep_callers_apart() -> None:
    """A key sees its own work, an admin's all, and so does everybody while there are no keys."""
    key, other = Caller("a", ApiKey("1", "one")), Caller("a", ApiKey("2", "other"))
    assert key.may_see(key.account)
    assert not key.may_see(other.account)
    assert not key.may_see("")
    assert Caller("a", ApiKey("3", "admin", is_admin=True)).may_see(key.account)
    assert Caller("b").may_see(Caller("a").account)
