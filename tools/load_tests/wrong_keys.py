"""Send ten thousand wrong keys to both servers; measure memory and a client with a valid key."""

import random
import socket
import statistics
import time
from collections.abc import Callable
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
from load_tests.key_target import Target, open_connection, send_key

from whisperlive_hybrid.bench.server import read_usage
from whisperlive_hybrid.errors import ServerUnusable

REQUESTS: Final = 20
"""Requests with a valid key, before and after."""

PROCESSES: Final = 2
"""Processes that send wrong keys, so that one interpreter does not limit them."""

SETTLE_S: Final = 65.0
"""Pause before memory is measured again: the server trims its memory every minute."""

_UPGRADE: Final = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Authorization: {authorization}\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class WrongKeysResult:
    """The response times of a client with a valid key, beside very many wrong keys."""

    tries: int
    seconds: float
    before: float
    """Median seconds of the client's requests, before any wrong key."""
    during: float
    after: float
    rss_before_mb: float | None
    rss_after_mb: float | None


async def run_wrong_keys(
    target: Target, tries: int, connections: int, *, settle_s: float = SETTLE_S, seed: int = 0
) -> WrongKeysResult:
    """Transcribe a clip repeatedly while processes send wrong keys to both servers."""
    clip = (files("whisperlive_hybrid") / "assets" / "samples" / "en.flac").read_bytes()
    request = partial(_transcribe, target, clip)
    await _time_requests(request, 3)  # warm up
    before = await _time_requests(request, REQUESTS)
    rss_before = _read_rss(target)
    during: list[float] = []
    is_over, began = anyio.Event(), time.perf_counter()

    async def send_requests() -> None:
        while not during or not is_over.is_set():  # at least one
            during.extend(await _time_requests(request, 1))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send_requests)
        async with anyio.create_task_group() as attackers:
            for number in range(PROCESSES):
                share = (tries // PROCESSES, connections // PROCESSES)
                attack = partial(_send_wrong_keys, target, *share, seed + number)
                attackers.start_soon(anyio.to_process.run_sync, attack)
        seconds = time.perf_counter() - began
        is_over.set()
    after = await _time_requests(request, REQUESTS)
    await anyio.sleep(settle_s)
    return WrongKeysResult(
        tries=tries,
        seconds=seconds,
        before=statistics.median(before),
        during=statistics.median(during),
        after=statistics.median(after),
        rss_before_mb=rss_before,
        rss_after_mb=_read_rss(target),
    )


async def _time_requests(request: Callable[[], float], n: int) -> list[float]:
    return [await anyio.to_thread.run_sync(request) for _ in range(n)]


def _transcribe(target: Target, clip: bytes) -> float:
    """Upload a clip with the valid key and return the seconds."""
    began = time.perf_counter()
    response = httpx.post(
        f"{target.http_url}/v1/audio/transcriptions",
        files={"file": clip},
        headers={"Authorization": f"Bearer {target.token}"},
        timeout=60,
    )
    if response.status_code != 200:
        raise ServerUnusable(f"A request with a valid key got status {response.status_code}.")
    return time.perf_counter() - began


def _send_wrong_keys(target: Target, tries: int, connections: int, seed: int) -> None:
    """Send wrong keys, half of them to each server; blocks."""
    rng, key_id = random.Random(seed), target.token.split("_")[1]
    queue = Queue[str]()
    for _ in range(tries):
        queue.put(f"Bearer wlk_{key_id}_{rng.randbytes(32).hex()}")
    with ThreadPoolExecutor(connections) as pool:
        clients = [pool.submit(_empty_queue, target, queue, n % 2 == 0) for n in range(connections)]
    for client in clients:
        client.result()


def _empty_queue(target: Target, queue: "Queue[str]", is_live: bool) -> None:
    """Send keys of the queue to one server until it is empty."""
    connection = open_connection(target.http_url)
    with suppress(Empty), closing(connection):
        while True:
            authorization = queue.get_nowait()
            if is_live:  # the live server closes the connection after each wrong key
                status = _upgrade(target.live_url, authorization)
            else:
                _, status = send_key(connection, authorization)
            if status != 401:
                raise ServerUnusable(f"A request with a wrong key got status {status}.")


def _upgrade(url: str, authorization: str) -> int:
    """Request a WebSocket and return the status of the response."""
    address = urlsplit(url)
    response = bytearray()
    with socket.create_connection((address.hostname, address.port), timeout=60) as tcp:
        tcp.sendall(_UPGRADE.format(authorization=authorization).encode())
        while received := tcp.recv(4096):
            response += received
    return int(response.split(b" ", 2)[1])


def _read_rss(target: Target) -> float | None:
    return None if target.pid is None else read_usage(target.pid).rss_mb
