"""Accounts of callers, and what they may see."""

import pytest

from whisperlive_hybrid.auth.caller import ApiKey, Caller, Limits


def test_a_key_is_one_account_at_all_addresses() -> None:
    """A key has one quota in all networks."""
    key = ApiKey("7f3a", "captions")
    assert Caller("192.0.2.1", key).account == Caller("192.0.2.2", key).account


def test_without_a_key_the_address_is_the_account() -> None:
    """Two callers without keys have separate quotas."""
    assert Caller("192.0.2.1").account != Caller("192.0.2.2").account


def test_an_address_that_looks_like_a_key_is_none() -> None:
    """Accounts of addresses and of keys never coincide."""
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
def test_the_caller_of_an_account(caller: Caller) -> None:
    """A job stores an account only; its submitter has the limits of its key."""
    found = Caller.from_account(caller.account, caller.key)
    assert (found.account, found.key) == (caller.account, caller.key)


def test_a_key_that_is_gone_has_no_limits_of_its_own() -> None:
    """Its jobs still run, and still belong to its account."""
    assert Caller.from_account("key:7f3a", None) == Caller("", ApiKey("7f3a", ""))


def test_a_subscriber_of_ipv6_has_one_account() -> None:
    """All 2**64 addresses of a subscriber share one quota."""
    assert Caller("2001:db8::1").account == Caller("2001:db8::ffff").account


def test_keys_keep_callers_apart() -> None:
    """A key sees its own jobs; an admin's key, and any caller without keys, sees all."""
    key, other = Caller("a", ApiKey("1", "one")), Caller("a", ApiKey("2", "other"))
    assert key.may_see(key.account)
    assert not key.may_see(other.account)
    assert not key.may_see("")
    assert Caller("a", ApiKey("3", "admin", is_admin=True)).may_see(key.account)
    assert Caller("b").may_see(Caller("a").account)
