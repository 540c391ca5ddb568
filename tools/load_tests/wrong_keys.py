"""Ten thousand wrong keys at both doors: what a good client and the memory feel of them."""

import random
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from queue import Empty, Queue
from typing import Final
from urllib.parse import urlsplit

import anyio
import anyio.to_process
import anyio.to_thread
import httpx
from load_tests.key_target import Target, asked, connected

from whisperlive_hybrid.bench.server import read_usage
from whisperlive_hybrid.errors import ServerUnusable

REQUESTS: Final = 20
"""Of the good client, before and after."""

PROCESSES: Final = 2
"""That try keys, so that no one interpreter is what bounds them."""

SETTLE_S: Final = 65.0
"""Before memory is read afterwards: a server of ours gives back what is free every minute."""

_UPGRADE: Final = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Authorization: {shown}\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Onslaught:
    """A good client beside very many wrong tries."""

    tries: int
    seconds: float
    before: float
    """Median seconds of the good client's requests, without the tries."""
    during: float
    after: float
    rss_before_mb: float | None
    rss_after_mb: float | None


async def onslaught(
    target: Target, tries: int, connections: int, *, settle_s: float = SETTLE_S, seed: int = 0
) -> Onslaught:
    """Have a clip read again and again while others try wrong keys at both doors."""
    clip = (files("whisperlive_hybrid") / "assets" / "samples" / "en.flac").read_bytes()
    good = partial(_transcribe, target, clip)
    await _times(good, 3)
    before = await _times(good, REQUESTS)
    rss_before = _rss(target)
    during: list[float] = []
    is_over, began = anyio.Event(), time.perf_counter()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until, is_over, good, during)
        async with anyio.create_task_group() as wrong:
            for number in range(PROCESSES):
                share = (tries // PROCESSES, connections // PROCESSES)
                attack = partial(_attack, target, *share, seed + number)
                wrong.start_soon(anyio.to_process.run_sync, attack)
        seconds = time.perf_counter() - began
        is_over.set()
    after = await _times(good, REQUESTS)
    await anyio.sleep(settle_s)
    return Onslaught(
        tries=tries,
        seconds=seconds,
        before=statistics.median(before),
        during=statistics.median(during),
        after=statistics.median(after),
        rss_before_mb=rss_before,
        rss_after_mb=_rss(target),
    )


async def _until(is_over: anyio.Event, good: Callable[[], float], times: list[float]) -> None:
    """At least once."""
    while not times or not is_over.is_set():
        times += await _times(good, 1)


async def _times(good: Callable[[], float], n: int) -> list[float]:
    return [await anyio.to_thread.run_sync(good) for _ in range(n)]


def _transcribe(target: Target, clip: bytes) -> float:
    began = time.perf_counter()
    reply = httpx.post(
        f"{target.http_url}/v1/audio/transcriptions",
        files={"file": clip},
        headers={"Authorization": f"Bearer {target.token}"},
        timeout=60,
    )
    if reply.status_code != 200:
        raise ServerUnusable(f"The good client was answered {reply.status_code}.")
    return time.perf_counter() - began


def _attack(target: Target, tries: int, connections: int, seed: int) -> None:
    """Try keys, half of them at each door; blocking, and best in a process of its own."""
    draw, key_id = random.Random(seed), target.token.split("_")[1]
    left = Queue[str]()
    for _ in range(tries):
        left.put(f"Bearer wlk_{key_id}_{draw.randbytes(32).hex()}")
    with ThreadPoolExecutor(connections) as pool:
        guessers = [pool.submit(_guess, target, left, n % 2 == 0) for n in range(connections)]
    for guesser in guessers:
        guesser.result()


def _guess(target: Target, left: "Queue[str]", is_live: bool) -> None:
    """Try keys at one door until none is left; a live door closes after each of them."""
    connection = connected(target.http_url)
    with suppress(Empty), closing(connection):
        while True:
            shown = left.get_nowait()
            status = _upgrade(target.live_url, shown) if is_live else asked(connection, shown)[1]
            if status != 401:
                raise ServerUnusable(f"A wrong key was answered {status}.")


def _upgrade(url: str, shown: str) -> int:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as tcp:
        tcp.sendall(_UPGRADE.format(shown=shown).encode())
        answer = b"".join(_received(tcp))
    return int(answer.split(b" ", 2)[1])


def _received(tcp: socket.socket) -> Iterator[bytes]:
    while part := tcp.recv(4096):
        yield part


def _rss(target: Target) -> float | None:
    return None if target.pid is None else read_usage(target.pid).rss_mb
