"""``gateway keys list``, ``show`` and ``audit``: what there is, and who changed it."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import DatabaseOption, JsonOption
from gateway.cli.keys_store import key_named, with_database
from gateway.cli.keys_text import HEADERS, aligned, cells, change_line, coloured, lines_of
from gateway.clock import SystemClock

if TYPE_CHECKING:
    from gateway.store.audit import AuditRow
    from gateway.store.database import Database
    from gateway.store.keys import KeyRow
    from gateway.store.standings import Standing

NONE_YET = "there are no keys yet; `gateway keys create NAME` makes one"


def list_keys(
    everything: Annotated[bool, typer.Option("--all", help="Revoked ones, too.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys of the database, with what those with a budget have spent.

    Keys that routes.yaml declares are not in it; `gateway check` and GET /admin/keys know them.

    Example:  gateway keys list --all
    """
    from gateway.store.keys import KeyStore
    from gateway.store.shown_keys import shown
    from gateway.store.standings import Standings

    now = SystemClock().now()

    async def read(opened: "Database") -> "tuple[list[KeyRow], dict[str, Standing]]":
        rows = await KeyStore(opened, SystemClock()).all()
        return rows, dict(await Standings(opened).of(None))

    rows, spent = with_database(database, read)
    chosen = [row for row in rows if everything or row.revoked_at is None]
    if as_json:
        typer.echo(json.dumps({"keys": [shown(row, spent.get(row.caller.id), now) for row in chosen]}, indent=2))
        return
    if not chosen:
        typer.echo(NONE_YET if not rows else "every key is revoked; --all lists them", err=True)
        return
    for line in aligned([HEADERS, *(cells(row, spent.get(row.caller.id), now) for row in chosen)]):
        typer.echo(coloured(line))


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A key's name, or its id.")],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of a key; its text is known to nobody.

    Example:  gateway keys show forum-app
    """
    from gateway.store.keys import KeyStore
    from gateway.store.shown_keys import shown
    from gateway.store.standings import Standings

    now = SystemClock().now()

    async def read(opened: "Database") -> "tuple[KeyRow, Standing | None]":
        row = await key_named(KeyStore(opened, SystemClock()), name)
        return row, (await Standings(opened).of([row.caller.id])).get(row.caller.id)

    row, spent = with_database(database, read)
    typer.echo(json.dumps(shown(row, spent, now), indent=2) if as_json else "\n".join(lines_of(row, spent, now)))


def audit(
    subject: Annotated[str | None, typer.Argument(metavar="[KEY|ROUTE]", help="Only what was done to it.")] = None,
    last: Annotated[int, typer.Option("--last", min=1, max=1000, help="How many, the newest.")] = 50,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who changed what: keys, and routes that were moved by hand or given back. The last line is the latest.

    Each change is written in its own transaction, by whatever way it came: cli, api or page.

    Example:  gateway keys audit forum-app
    """
    from gateway.config.findings import printable
    from gateway.store.audit import AuditStore
    from gateway.store.keys import KeyStore
    from gateway.store.shown_keys import shown_change

    # What no terminal can show, no database takes.
    wanted = printable(subject) if subject is not None else None

    async def read(opened: "Database") -> "tuple[list[AuditRow], dict[str, str]]":
        names = {row.caller.id: row.caller.name for row in await KeyStore(opened, SystemClock()).all()}
        ids = {name: key_id for key_id, name in names.items()}
        return await AuditStore(opened).latest(last, subject=ids.get(wanted or "", wanted)), names

    rows, names = with_database(database, read)
    if as_json:
        changes: list[dict[str, Any]] = [shown_change(row) for row in rows]
        typer.echo(json.dumps({"changes": changes}, indent=2))
    elif not rows:
        typer.echo("nothing was changed by hand yet" + (f" of {wanted}" if wanted else ""), err=True)
    else:
        typer.echo("\n".join(change_line(row, names) for row in reversed(rows)))
