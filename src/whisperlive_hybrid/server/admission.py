"""Who may come in, as the settings say; and what an operator should know about that."""

import time

import structlog

from whisperlive_hybrid.access.addresses import Proxies, is_loopback
from whisperlive_hybrid.access.doorkeeper import Doorkeeper
from whisperlive_hybrid.access.keyring import KeyRing, KeySource
from whisperlive_hybrid.access.wrong_keys import WrongKeys
from whisperlive_hybrid.config import Settings

log = structlog.get_logger(__name__)


def doorkeeper_for(settings: Settings, keys: KeySource) -> Doorkeeper:
    """Who stands at both doors.

    Raises `BadRequest` for an `api_key` that is none, or a list of proxies that makes no sense.
    """
    proxies = Proxies.of(settings.trusted_proxies)
    if not settings.auth:
        return Doorkeeper(proxies=proxies)
    given = settings.api_key
    ring = KeyRing(keys, given.get_secret_value() if given else None)
    at_once = settings.wrong_keys_per_minute
    return Doorkeeper(ring, proxies, WrongKeys(at_once, time.monotonic) if at_once else None)


def tell_risks(settings: Settings, doorkeeper: Doorkeeper) -> None:
    """Warn where everybody comes in, or nobody."""
    if doorkeeper.ring is None:
        if not is_loopback(settings.host):
            log.warning(
                "everybody who can reach this address may use the server; "
                "WHISPERLIVE_AUTH=true asks for keys",
                host=settings.host,
            )
    elif doorkeeper.ring.is_empty:
        log.warning(
            "WHISPERLIVE_AUTH is on and there is no key yet, so nobody can use the server; "
            "make one: whisperlive keys make NAME"
        )
