"""``gateway capture``: what is kept of live requests, as a training file, and gone at somebody's wish."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, load_routes
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.cli.packs_holding import HoldingPack
    from gateway.config.loader import Loaded
    from gateway.config.routes import Route
    from gateway.store.captured import Captured, CapturedCount
    from gateway.store.database import Database
    from gateway.store.deletions import Receipt

T = TypeVar("T")
capture_app = typer.Typer(no_args_is_help=True, help="See, export and delete what is kept of live requests.")
_HEADERS = ("route", "capture", "kept for", "blacked out", "rows", "oldest")
_TABLES = {
    "captured": "captured request",
    "captured_again": "repeated request",
    "recordings": "recording",
    "evaluation_answers": "evaluation answer",
    "judgements": "judgement",
}
_IN_LOG = (
    "Somebody is reading the database: its log (the file ending in -wal) still holds what was deleted, until they have "
    "finished and something is deleted again. Run it again."
)


@capture_app.command("status")
def status(routes: RoutesOption = ROUTES, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Show of which routes something is kept: which share, for how long, and how much there is.

    Nothing is kept unless routes.yaml says so: `capture: {share: 0.05}` under a route keeps one request in twenty, with
    e-mail addresses, phone and card numbers blacked out before it is written, for 30 days. Each input is kept once.
    Requests with pictures, sound or files in them cannot be redacted and are not kept.

    Example:  gateway capture status
    """
    from gateway.store.captured import CapturedStore

    loaded = load_routes(routes)
    counts = _with(database, lambda opened: CapturedStore(opened).counts()) or {}
    named = loaded.routes.routes
    rows = [_status_row(name, named.get(name), counts.get(name)) for name in dict.fromkeys((*named, *counts))]
    if as_json:
        typer.echo(json.dumps({"routes": rows}, indent=2))
        return
    for line in _aligned([_HEADERS, *map(_status_cells, rows)]):
        typer.echo(line)


@capture_app.command("export")
def export(
    route: Annotated[str, typer.Argument(help="A route.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file to write; one that is there is replaced.")
    ],
    everyone: Annotated[bool, typer.Option("--all", help="Fallbacks' answers, too.")] = False,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
) -> None:
    """Write what is kept of a route as training rows: a chat, the answer as its last message, and its tools.

    Only the primary's answers, unless you say --all. FILE.manifest.json says which models wrote them: their providers'
    terms may forbid training other models on them. Both files are readable by you alone. Deleting a user's rows later
    does not reach files that you have exported.

    Example:  gateway capture export forum-reply --out forum-reply.jsonl
    """
    from gateway.cli.capture_export import TERMS, write_export
    from gateway.config.findings import did_you_mean
    from gateway.lifecycle.forecast_words import counted
    from gateway.reasons import Role

    known = load_routes(routes).routes.routes
    if route not in known:
        near = did_you_mean(route, known)
        raise typer.BadParameter(f"{routes} has no route {route!r}{near}", param_hint="ROUTE")
    chosen = known[route]
    now = SystemClock().now()

    async def read(opened: "Database") -> "list[Captured]":
        from gateway.store.captured import CapturedStore

        store = CapturedStore(opened)
        # Where no gateway runs, nobody else keeps the retention.
        await store.purge(now)
        return await store.of_route(route, chosen.tenant)

    kept = _with(database, read) or []
    rows = [row for row in kept if everyone or row.role is Role.PRIMARY]
    if not rows:
        others = f"; {counted(len(kept), 'answer')} by fallbacks: --all exports them" if kept else ""
        raise ConfigError(f"nothing is kept of the primary of route {route!r}{others}")
    try:
        manifest = write_export(out, route, chosen.tenant, rows, now)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from None
    typer.echo(f"{counted(len(rows), 'row')} of {route} to {out}; what they are: {manifest}\n{TERMS}")


@capture_app.command("delete")
def delete(
    user: Annotated[
        str | None,
        typer.Option("--user", help="What applications send as user, safety_identifier or metadata.user_id."),
    ] = None,
    request: Annotated[str | None, typer.Option("--request", metavar="ID", help="A request's id.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete what is kept of a user or of a request, prove it, and name the packs that hold such rows.

    Captured requests, recordings, evaluations' answers and judgements go in one transaction; a receipt stays, which
    names nobody. Packs cannot be changed: what holds such rows is listed, with what to do. Run it again until nothing
    is listed. What was asked until now and is not written yet never will be. What retention has deleted can no longer
    be traced to a user, nor can packs built from it; exported files and backups are yours to look after.

    Exit codes: 0 it is gone, or nothing was there; 1 packs, or the log of the database, still hold such rows; 2 the
    command was misused.

    Example:  gateway capture delete --user customer-4711
    """
    if (user is None) == (request is None):
        raise typer.BadParameter("name a user or a request, and not both", param_hint="--user, --request")
    loaded = load_routes(routes)
    done = _with(database, lambda opened: _delete(opened, loaded, user, request, yes=yes))
    receipt, looked_for, packs = done or (None, 0, [])
    if as_json:
        shown = {**asdict(receipt), "deleted_at": receipt.deleted_at.isoformat()} if receipt else None
        typer.echo(json.dumps({"receipt": shown, "packs": [asdict(pack) for pack in packs]}, indent=2))
    else:
        typer.echo(_receipt_text(receipt))
        if looked_for:
            typer.echo("\n".join(_pack_lines(packs)))
    raise typer.Exit(1 if packs or (receipt and (receipt.left or receipt.is_in_log)) else 0)


async def _delete(
    database: "Database", loaded: "Loaded", user: str | None, request: str | None, *, yes: bool
) -> "tuple[Receipt | None, int, list[HoldingPack]]":
    """Return the receipt, how many inputs were looked for in packs, and who holds them."""
    from gateway.cli.cutover import whoami
    from gateway.cli.packs_holding import packs_holding
    from gateway.ledger.entry import new_attempt_id
    from gateway.store.deletions import DeletionStore

    store = DeletionStore(database)
    earlier = await store.earlier(user=user, request_id=request)
    found = await store.find(user=user, request_id=request)
    if any(found.values()) and not yes:
        _ask(found)
    now = SystemClock().now()
    by = whoami()
    receipt = await store.delete(deletion_id=new_attempt_id(now), by=by, now=now, user=user, request_id=request)
    gone = earlier | set(receipt.input_ids)
    return receipt, len(gone), await packs_holding(gone, loaded, database)


def _ask(found: dict[str, int]) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to ask whether to delete; say it beforehand", param_hint="--yes")
    typer.confirm(f"Delete {_counts_text(found)}? It cannot be undone.", abort=True, err=True)


def _with(url: str | None, work: "Callable[[Database], Awaitable[T]]") -> T | None:
    """Return what work on the database comes to; None where nothing was ever kept in it."""
    from gateway.config.settings import read_settings
    from gateway.store.database import Database, DatabaseUnavailable

    async def opened_for() -> "T | None":
        opened = await Database.open_existing(read_settings(database_url=url).database_url)
        if opened is None:
            return None
        try:
            return await work(opened)
        finally:
            await opened.close()

    try:
        return asyncio.run(opened_for())
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(str(error)) from None


def _status_row(name: str, route: "Route | None", count: "CapturedCount | None") -> dict[str, Any]:
    capture = route.capture if route else None
    return {
        "route": name,
        "in_routes": route is not None,
        "on": capture is not None,
        "share": capture.share if capture else None,
        "retention_days": capture.retention_days if capture else None,
        "redacts": [*capture.redact, *capture.patterns] if capture else None,
        "rows": count.rows if count else 0,
        "oldest": count.oldest.isoformat() if count else None,
        "newest": count.newest.isoformat() if count else None,
    }


def _status_cells(row: dict[str, Any]) -> tuple[str, ...]:
    from gateway.lifecycle.forecast_words import counted

    name = row["route"] if row["in_routes"] else f"{row['route']} (not in routes.yaml)"
    kept = (f"{row['rows']:,}", (row["oldest"] or "")[:10])
    if not row["on"]:
        return (name, "off", "", "", *kept)
    redacts = ", ".join(row["redacts"]) or "nothing"
    return (name, f"{100 * row['share']:g} %", counted(row["retention_days"], "day"), redacts, *kept)


def _aligned(rows: "Sequence[Sequence[str]]") -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _counts_text(counts: dict[str, int]) -> str:
    from gateway.lifecycle.forecast_words import counted

    return ", ".join(counted(counts[table], noun) for table, noun in _TABLES.items() if counts[table])


def _receipt_text(receipt: "Receipt | None") -> str:
    if receipt is None:
        return "nothing of it is kept"
    left = "nothing is left" if not receipt.left else f"{receipt.left} rows came meanwhile: run it again"
    gone = f"deleted {_counts_text(receipt.counts)}" if any(receipt.counts.values()) else "nothing of it is kept"
    return (
        f"{gone}; looked again: {left}\n"
        + (f"{_IN_LOG}\n" if receipt.is_in_log else "")
        + f"receipt {receipt.deletion_id}, {receipt.deleted_at:%Y-%m-%d %H:%M:%S} UTC, by {receipt.by}\n"
        f"  of {receipt.selector}\n"
        f"  inputs: {', '.join(receipt.input_ids) or 'none'}\n"
        f"  sha256: {receipt.digest}"
    )


def _pack_lines(packs: "Sequence[HoldingPack]") -> list[str]:
    from gateway.lifecycle.forecast_words import counted

    if not packs:
        return ["no pack that routes.yaml names, and none in the database, holds such rows"]
    lines = ["These packs hold such rows, and cannot be changed from here:"]
    for pack in packs:
        held = f" holds {counted(len(pack.rows), 'row')} ({', '.join(pack.rows)})" if pack.rows else ""
        lines += [f"  {pack.place}{held}", f"    {pack.what_to_do}"]
    return lines
