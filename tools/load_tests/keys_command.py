"""`python -m load_tests wrong-keys`: what wrong keys cost, as a table."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Annotated

import anyio
import anyio.to_thread
import typer
from load_tests.key_target import AS_INSTALLED, UNPAUSED, Target, served
from rich.table import Table

from whisperlive_hybrid.cli.terminal import out
from whisperlive_hybrid.errors import BadRequest


def keys(
    *,
    serve: Annotated[bool, typer.Option("--serve", help="Start our own server for it.")] = False,
    http_url: Annotated[str, typer.Option(help="File door of a server that asks for keys.")] = "",
    live_url: Annotated[str, typer.Option(help="Its live door, ws://…")] = "",
    key: Annotated[
        str, typer.Option(envvar="WHISPERLIVE_API_KEY", help="One that opens it, wlk_…")
    ] = "",
    server_pid: Annotated[int | None, typer.Option(help="Whose memory to read.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Requests of each kind.")] = 2000,
    tries: Annotated[int, typer.Option(min=10, help="Wrong keys tried at both doors.")] = 10_000,
    connections: Annotated[int, typer.Option(min=2, help="Over which they are tried.")] = 100,
) -> None:
    """Try wrong keys: whether their refusal tells anything, and who else feels them."""
    if not serve and not (http_url and live_url and key.startswith("wlk_")):
        raise BadRequest("Give --serve, or --http-url, --live-url and a key made by us (--key).")

    def opened(settings: Mapping[str, str]) -> AbstractAsyncContextManager[Target]:
        given = Target(http_url, live_url, key, server_pid)
        return served(settings) if serve else nullcontext(given)

    anyio.run(_measure, opened, rounds, tries, connections)


async def _measure(
    opened: Callable[[Mapping[str, str]], AbstractAsyncContextManager[Target]],
    rounds: int,
    tries: int,
    connections: int,
) -> None:
    # Not above: `whisperlive --help` is to load no client.
    from load_tests.key_timing import costs  # noqa: PLC0415
    from load_tests.wrong_keys import onslaught  # noqa: PLC0415 (as above)

    async with opened(UNPAUSED) as target:
        measured = await anyio.to_thread.run_sync(costs, target, rounds)
    async with opened(AS_INSTALLED) as target:
        felt = await onslaught(target, tries, connections)
    table = Table("shown", "answer", "median, µs", "p95, µs")
    for cost in measured:
        times = (f"{cost.median * 1e6:.0f}", f"{cost.p95 * 1e6:.0f}")
        table.add_row(cost.kind, str(cost.status), *times)
    out.print(table)
    out.print(
        f"{felt.tries} wrong tries in {felt.seconds:.1f} s. A clip of a good client (median): "
        f"{felt.before * 1000:.0f} ms before, {felt.during * 1000:.0f} ms meanwhile, "
        f"{felt.after * 1000:.0f} ms after. Memory: {_mb(felt.rss_before_mb)} before, "
        f"{_mb(felt.rss_after_mb)} after.",
        soft_wrap=True,
        highlight=False,
    )


def _mb(memory: float | None) -> str:
    return "not read" if memory is None else f"{memory:.1f} MB"
