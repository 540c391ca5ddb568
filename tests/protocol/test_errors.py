import pytest

from whisperlive_hybrid.errors import (
    BackendFailed,
    BadAudio,
    DayUsedUp,
    Draining,
    Forbidden,
    LimitReached,
    ModelUnavailable,
    NotFound,
    Overloaded,
    RemoteFailed,
    Stalled,
    TooLarge,
    Unauthenticated,
    Unsupported,
)
from whisperlive_hybrid.protocol.errors import headers_of, map_error, message_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadAudio("noise"), 400),
        (Unsupported("no"), 400),
        (RemoteFailed("they"), 400),
        (Unauthenticated("who"), 401),
        (Forbidden("page"), 403),
        (NotFound("where"), 404),
        (TooLarge("big"), 413),
        (Overloaded("busy", retry_after_s=1), 429),
        (Stalled("idle"), 408),
        (BackendFailed("oops"), 500),
        (KeyError("defect"), 500),
        (Draining("bye", retry_after_s=1), 503),
        (ModelUnavailable("gone"), 503),
    ],
)
def test_every_error_has_a_status(error: Exception, status: int) -> None:
    """The nearest class in the table decides, so a subclass keeps its parent's row."""
    assert map_error(error).status == status


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (1.2, "2"), (30.0, "30")])
def test_overload_says_when_to_come_back(seconds: float, header: str) -> None:
    """Retry-After is a whole number of seconds, at least 1, and never rounded down."""
    for error in (Overloaded("busy", retry_after_s=seconds), Draining("x", retry_after_s=seconds)):
        assert headers_of(error) == {"retry-after": header}


def test_only_permanent_failures_forbid_a_retry() -> None:
    """SDKs repeat every 5xx with the whole file unless a header prevents it."""
    assert headers_of(BackendFailed("oops")) == {}
    assert headers_of(ModelUnavailable("gone")) == {"x-should-retry": "false"}
    assert headers_of(KeyError("defect")) == {"x-should-retry": "false"}


def test_a_defect_tells_nothing() -> None:
    """What an unforeseen exception holds may be a path or a secret."""
    assert message_of(FileNotFoundError("/etc/secret")) == (
        "The server failed to handle this request."
    )


def test_a_day_that_is_used_up_is_not_asked_for_again() -> None:
    """SDKs wait two minutes at most, then they would send the file again for nothing."""
    headers = headers_of(DayUsedUp("…", retry_after_s=40_000.0))
    assert headers == {"retry-after": "40000", "x-should-retry": "false"}
    assert headers_of(LimitReached("…", retry_after_s=2.5)) == {"retry-after": "3"}
    assert map_error(DayUsedUp("…", retry_after_s=1)).status == 429
