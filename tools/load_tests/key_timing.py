"""How long the door takes for a right key and for every kind of wrong one."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from load_tests.key_target import Target, asked, connected

WARM_UP: Final = 20
"""Rounds that are not counted."""


@dataclass(frozen=True, slots=True)
class Cost:
    """How long answers took, in seconds."""

    kind: str
    median: float
    p95: float
    status: int


def headers(token: str) -> dict[str, str | None]:
    """What is shown, by kind. Two kinds are the same: their difference is the noise."""
    key_id, secret = token.split("_")[1:]
    wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    return {
        "right key": f"Bearer {token}",
        "wrong secret": f"Bearer wlk_{key_id}_{wrong}",
        "wrong secret, again": f"Bearer wlk_{key_id}_{wrong}",
        "wrong secret from its first letter": f"Bearer wlk_{key_id}_{wrong[::-1]}",
        "unknown id": f"Bearer wlk_{'0' * len(key_id)}_{secret}",
        "malformed": "Bearer " + "x" * len(token),
        "none": None,
    }


def costs(target: Target, rounds: int, seed: int = 0) -> list[Cost]:
    """Ask with each kind in turn, shuffled in each round, over one connection; blocking."""
    shown, draw = headers(target.token), random.Random(seed)
    seconds: dict[str, list[float]] = {kind: [] for kind in shown}
    statuses: dict[str, int] = {}
    connection = connected(target.http_url)
    for number in range(rounds + WARM_UP):
        for kind in draw.sample(list(shown), len(shown)):
            took, statuses[kind] = asked(connection, shown[kind])
            if number >= WARM_UP:
                seconds[kind].append(took)
    connection.close()
    return [_cost(kind, seconds[kind], statuses[kind]) for kind in shown]


def _cost(kind: str, seconds: Sequence[float], status: int) -> Cost:
    ordered = sorted(seconds)
    return Cost(kind, statistics.median(ordered), ordered[int(len(ordered) * 0.95)], status)
