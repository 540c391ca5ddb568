"""The headers of rate limits."""

from whisperlive_hybrid.auth.quotas import QuotaStatus
from whisperlive_hybrid.auth.rate_limits import RateLimitStatus
from whisperlive_hybrid.server.http.auth import rate_limit_headers


def test_what_is_bounded_is_told() -> None:
    """OpenAI's three headers for requests, and the same for audio; whole numbers as there."""
    headers = rate_limit_headers(
        QuotaStatus(RateLimitStatus(2500, 2499, 0.024), RateLimitStatus(3600, 0.4, 360.0))
    )
    assert headers == {
        "x-ratelimit-limit-requests": "2500",
        "x-ratelimit-remaining-requests": "2499",
        "x-ratelimit-reset-requests": "24ms",
        "x-ratelimit-limit-audio-seconds": "3600",
        "x-ratelimit-remaining-audio-seconds": "0",
        "x-ratelimit-reset-audio-seconds": "6m0s",
    }


def test_what_nothing_bounds_is_not_mentioned() -> None:
    """Clients take a header for a limit."""
    assert rate_limit_headers(QuotaStatus(None, None)) == {}
