"""What a caller may still take, in the headers that OpenAI has for it."""

from whisperlive_hybrid.access.buckets import Allowance
from whisperlive_hybrid.access.durations import short
from whisperlive_hybrid.access.meter import Allowances

Headers = dict[str, str]


def allowance_headers(allowances: Allowances) -> Headers:
    """The `x-ratelimit-` headers of whatever is bounded; seconds of audio are a name of ours."""
    return _headers("requests", allowances.requests) | _headers("audio-seconds", allowances.audio_s)


def _headers(name: str, allowance: Allowance | None) -> Headers:
    if allowance is None:
        return {}
    return {
        f"x-ratelimit-limit-{name}": f"{allowance.limit:.10g}",
        f"x-ratelimit-remaining-{name}": str(int(allowance.remaining)),
        f"x-ratelimit-reset-{name}": short(allowance.reset_s),
    }
