"""The command `python -m load_tests wrong-keys`: the cost of wrong keys, as a table."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Annotated

import anyio
import anyio.to_thread
import typer
from load_tests.key_target import AS_INSTALLED, UNPAUSED, Target, run_target
from rich.table import Table

from whisperlive_hybrid.cli.terminal import out
from whisperlive_hybrid.errors import BadRequest


def measure_wrong_keys(
    *,
    serve: Annotated[bool, typer.Option("--serve", help="Start a server for the test.")] = False,
    http_url: Annotated[str, typer.Option(help="URL of a server that requires keys.")] = "",
    live_url: Annotated[str, typer.Option(help="URL of its live server, ws://…")] = "",
    key: Annotated[str, typer.Option(envvar="WHISPERLIVE_API_KEY", help="A valid key, wlk_…")] = "",
    server_pid: Annotated[int | None, typer.Option(help="Its process, to measure memory.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Requests of each kind.")] = 2000,
    tries: Annotated[int, typer.Option(min=10, help="Wrong keys sent to both servers.")] = 10_000,
    connections: Annotated[int, typer.Option(min=2, help="Concurrent connections.")] = 100,
) -> None:
    """Send wrong keys: measure what response times reveal, and the effect on other clients."""
    if not serve and not (http_url and live_url and key.startswith("wlk_")):
        raise BadRequest("Give --serve, or --http-url, --live-url and --key, a key wlk_….")

    def open_target(settings: Mapping[str, str]) -> AbstractAsyncContextManager[Target]:
        given = Target(http_url, live_url, key, server_pid)
        return run_target(settings) if serve else nullcontext(given)

    anyio.run(_measure, open_target, rounds, tries, connections)


async def _measure(
    open_target: Callable[[Mapping[str, str]], AbstractAsyncContextManager[Target]],
    rounds: int,
    tries: int,
    connections: int,
) -> None:
    # Not above: `--help` must load no client.
    from load_tests.key_timing import measure_costs  # noqa: PLC0415
    from load_tests.wrong_keys import run_wrong_keys  # noqa: PLC0415 (as above)

    async with open_target(UNPAUSED) as target:
        by_kind = await anyio.to_thread.run_sync(measure_costs, target, rounds)
    async with open_target(AS_INSTALLED) as target:
        result = await run_wrong_keys(target, tries, connections)
    table = Table("sent", "status", "median, µs", "p95, µs")
    for cost in by_kind:
        times = (f"{cost.median * 1e6:.0f}", f"{cost.p95 * 1e6:.0f}")
        table.add_row(cost.kind, str(cost.status), *times)
    out.print(table)
    out.print(
        f"{result.tries} wrong keys in {result.seconds:.1f} s. A clip of a client with a valid "
        f"key (median): {result.before * 1000:.0f} ms before, {result.during * 1000:.0f} ms "
        f"meanwhile, {result.after * 1000:.0f} ms after. "
        f"Memory: {_format_mb(result.rss_before_mb)} before, "
        f"{_format_mb(result.rss_after_mb)} after.",
        soft_wrap=True,
        highlight=False,
    )


def _format_mb(memory: float | None) -> str:
    return "not read" if memory is None else f"{memory:.1f} MB"
