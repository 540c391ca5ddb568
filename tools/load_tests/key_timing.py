"""Measure the response time for a valid key and for every kind of wrong one."""

import random
import statistics
from dataclasses import dataclass
from typing import Final

from load_tests.key_target import Target, open_connection, send_key

WARM_UP: Final = 20
"""Rounds that are not measured."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Response times of one kind of key, in s."""

    kind: str
    median: float
    p95: float
    status: int


def build_headers(token: str) -> dict[str, str | None]:
    """Return Authorization headers by kind. Two kinds are equal: their difference is the noise."""
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


def measure_costs(target: Target, rounds: int, seed: int = 0) -> list[Cost]:
    """Send each kind in turn, shuffled in each round, over one connection; blocks."""
    by_kind, rng = build_headers(target.token), random.Random(seed)
    times: dict[str, list[float]] = {kind: [] for kind in by_kind}
    statuses: dict[str, int] = {}
    connection = open_connection(target.http_url)
    for number in range(rounds + WARM_UP):
        for kind in rng.sample(list(by_kind), len(by_kind)):
            seconds, statuses[kind] = send_key(connection, by_kind[kind])
            if number >= WARM_UP:
                times[kind].append(seconds)
    connection.close()
    result = []
    for kind, seconds_of_kind in times.items():
        ordered = sorted(seconds_of_kind)
        p95 = ordered[int(len(ordered) * 0.95)]
        result.append(Cost(kind, statistics.median(ordered), p95, statuses[kind]))
    return result
