"""The commands `whisperlive keys`: make, list and revoke API keys; a server may be running."""

import secrets
import time
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.table import Column, Table

from whisperlive_hybrid.auth import keys as tokens
from whisperlive_hybrid.auth.caller import ApiKey, Limits
from whisperlive_hybrid.auth.keys import StoredKey
from whisperlive_hybrid.auth.usage import first_day
from whisperlive_hybrid.cli.terminal import note, out
from whisperlive_hybrid.config import MOST, load_settings
from whisperlive_hybrid.errors import BadRequest, NotFound

LONGEST_NAME: Final = 100

keys_app = typer.Typer(
    help="Make, list and revoke the keys of a server with WHISPERLIVE_AUTH=true.",
    no_args_is_help=True,
)

LimitOption = Annotated[
    int | None,
    typer.Option(min=0, max=MOST, help="Limit of this key; 0: no limit. [the server's]"),
]


@keys_app.command()
def make(
    name: Annotated[str, typer.Argument(help="Its owner or purpose, for lists and logs.")],
    admin: Annotated[
        bool, typer.Option("--admin", help="Allow access to the jobs and usage of all keys.")
    ] = False,
    requests_per_minute: LimitOption = None,
    audio_seconds_per_day: LimitOption = None,
    live_streams: LimitOption = None,
) -> None:
    """Make a key and print it to standard output, once; only its hash is stored."""
    # Not above: importing SQLAlchemy takes 0.2 s, and no other command needs it.
    from whisperlive_hybrid.storage import keys  # noqa: PLC0415
    from whisperlive_hybrid.storage.keys import open_key_database  # noqa: PLC0415

    if not (name.isprintable() and 0 < len(name.strip()) <= LONGEST_NAME):
        raise BadRequest(f"The name must be 1 to {LONGEST_NAME} printable characters.")
    settings = load_settings()
    limits = Limits(requests_per_minute, audio_seconds_per_day, live_streams)
    key = ApiKey(secrets.token_hex(tokens.ID_BYTES), name.strip(), limits, is_admin=admin)
    token = tokens.format_token(key.id, secrets.token_hex(tokens.SECRET_BYTES))
    stored = StoredKey(key, tokens.parse_token(token).digest)
    with open_key_database(settings.jobs.data_dir) as store:
        store.database.run_blocking(keys.add, stored, time.time())
    note(f"Key {key.id} for {key.name}, valid from now on. It is never shown again:")
    typer.echo(token)  # alone on standard output, so that it can be piped
    if not settings.auth.auth:
        note("A server requires keys only if it is started with WHISPERLIVE_AUTH=true.")


@keys_app.command("list")
def list_keys(
    *,
    show_revoked: Annotated[bool, typer.Option("--all", help="Revoked keys, too.")] = False,
) -> None:
    """List the keys, without their secrets."""
    from whisperlive_hybrid.storage import keys  # noqa: PLC0415 (as above)
    from whisperlive_hybrid.storage.keys import open_key_database  # noqa: PLC0415 (as above)

    with open_key_database(load_settings().jobs.data_dir) as store:
        known = store.database.run_blocking(keys.load_all)
    table = Table(Column("id", no_wrap=True), "name", "limits", Column("made", no_wrap=True))
    for entry in known:
        if entry.revoked_at is None or show_revoked:
            key = entry.stored.key
            dates = _format_day(entry.created_at)
            if entry.revoked_at is not None:
                dates += f"\nrevoked {_format_day(entry.revoked_at)}"
            kind = " (admin)" if key.is_admin else ""
            table.add_row(key.id, escape(key.name) + kind, _format_limits(key.limits), dates)
    out.print(table)


@keys_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="From `whisperlive keys list`.")],
) -> None:
    """Revoke a key: the server refuses the next request with it."""
    from whisperlive_hybrid.storage import keys  # noqa: PLC0415 (as above)
    from whisperlive_hybrid.storage.keys import open_key_database  # noqa: PLC0415 (as above)

    with open_key_database(load_settings().jobs.data_dir) as store:
        if not store.database.run_blocking(keys.revoke, key_id, time.time()):
            raise NotFound(f"There is no valid key {key_id!r}; see `whisperlive keys list`.")
    note(f"Key {key_id} is revoked.")


@keys_app.command()
def usage(
    days: Annotated[int, typer.Option(min=1, help="Number of UTC days, including today.")] = 30,
) -> None:
    """Show the usage of each key by day; a running server stores it every 2 seconds."""
    from whisperlive_hybrid.storage import keys  # noqa: PLC0415 (as above)
    from whisperlive_hybrid.storage.keys import open_key_database  # noqa: PLC0415 (as above)
    from whisperlive_hybrid.storage.usage import (  # noqa: PLC0415 (as above)
        load_since,
        open_usage_store,
    )

    directory = load_settings().jobs.data_dir
    first = first_day(days, time.time())
    with open_key_database(directory) as access, open_usage_store(directory) as store:
        names = keys.key_names(access.database.run_blocking(keys.load_all))
        rows = store.database.run_blocking(load_since, first, None)
    heads = ("requests", "refused", "live", "files s", "live s")
    amounts = [Column(head, justify="right") for head in heads]
    table = Table(Column("day", no_wrap=True), "id", "name", *amounts)
    for row in rows:
        key, used = row.key_id or "", row.usage
        counts = [str(count) for count in (used.requests, used.refused, used.streams)]
        lengths = [f"{seconds:.1f}" for seconds in (used.file_s, used.live_s)]
        name = names.get(key, "") if key else "without a key"
        table.add_row(row.day.isoformat(), key, escape(name), *counts, *lengths)
    out.print(table)


def _format_limits(limits: Limits) -> str:
    """Return a line for each limit of the key itself; where it has none, the server's holds."""
    values = {
        "requests/min": limits.requests_per_minute,
        "audio s/day": limits.audio_s_per_day,
        "live": limits.live_streams,
    }
    return "\n".join(
        f"{f'{value:g}' if value else 'any'} {unit}"
        for unit, value in values.items()
        if value is not None
    )


def _format_day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
