"""Lengths of time as people and OpenAI's headers have them: 24ms, 1s, 6m0s."""

import math


def short(seconds: float) -> str:
    """A length of time, rounded up so that nobody comes too early: to 1 ms, or from 1 s on to 1 s.

    Units as OpenAI's, which are those of Go: all below the greatest are written.
    """
    if seconds < 1:
        milliseconds = math.ceil(max(0.0, seconds) * 1000 - 1e-6)
        return f"{milliseconds}ms" if 0 < milliseconds < 1000 else f"{milliseconds // 1000}s"
    minutes, rest = divmod(math.ceil(seconds - 1e-6), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
