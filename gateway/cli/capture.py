"""``gateway capture``: what is kept of live requests, seen, and as a training file."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.cli.aligned import aligned
from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, load_routes
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config.routes import Route
    from gateway.store.captured import Captured, CapturedCount
    from gateway.store.database import Database
    from gateway.store.feedback import FeedbackCount

T = TypeVar("T")
capture_app = typer.Typer(no_args_is_help=True, help="See, export and delete what is kept of live requests.")
_HEADERS = ("route", "capture", "kept for", "blacked out", "rows", "oldest", "marks")


@capture_app.command("status")
def status(routes: RoutesOption = ROUTES, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Show of which routes something is kept: which share, for how long, how much there is, and what people said of it.

    Nothing is kept unless routes.yaml says so: `capture: {share: 0.05}` under a route keeps one request in twenty, with
    e-mail addresses, phone and card numbers blacked out before it is written, for 30 days. Each input is kept once.
    Requests with pictures, sound or files in them cannot be redacted and are not kept.

    Example:  gateway capture status
    """
    loaded = load_routes(routes)
    counts, marks = _with(database, _counted) or ({}, {})
    named = loaded.routes.routes
    rows = [
        _status_row(name, named.get(name), counts.get(name), marks.get(name))
        for name in dict.fromkeys((*named, *counts, *marks))
    ]
    if as_json:
        typer.echo(json.dumps({"routes": rows}, indent=2))
        return
    for line in aligned([_HEADERS, *map(_status_cells, rows)]):
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
    terms may forbid training other models on them. Both files are readable by you alone. The database knows where they
    are: deleting a user's rows later takes them out of the file again, where it is still on this host.

    Example:  gateway capture export forum-reply --out forum-reply.jsonl
    """
    from gateway.cli.capture_export import TERMS
    from gateway.cli.exported_holding import export_registered
    from gateway.config.findings import did_you_mean
    from gateway.lifecycle.forecast_words import counted
    from gateway.reasons import Role

    known = load_routes(routes).routes.routes
    if route not in known:
        near = did_you_mean(route, known)
        raise typer.BadParameter(f"{routes} has no route {route!r}{near}", param_hint="ROUTE")
    chosen = known[route]
    now = SystemClock().now()

    async def exported(opened: "Database") -> "tuple[list[Captured], list[Captured], Path | None]":
        from gateway.store.captured import CapturedStore

        store = CapturedStore(opened)
        # Where no gateway runs, nobody else keeps the retention.
        await store.purge(now)
        kept = await store.of_route(route, chosen.tenant)
        rows = [row for row in kept if everyone or row.role is Role.PRIMARY]
        return kept, rows, await export_registered(opened, out, chosen, rows, now) if rows else None

    try:
        kept, rows, manifest = _with(database, exported) or ([], [], None)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from None
    if not rows:
        others = f"; {counted(len(kept), 'answer')} by fallbacks: --all exports them" if kept else ""
        raise ConfigError(f"nothing is kept of the primary of route {route!r}{others}")
    typer.echo(f"{counted(len(rows), 'row')} of {route} to {out}; what they are: {manifest}\n{TERMS}")


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


async def _counted(opened: "Database") -> "tuple[dict[str, CapturedCount], dict[str, FeedbackCount]]":
    from gateway.store.captured import CapturedStore
    from gateway.store.feedback import FeedbackStore

    return await CapturedStore(opened).counts(), await FeedbackStore(opened).counts()


def _status_row(
    name: str, route: "Route | None", count: "CapturedCount | None", marks: "FeedbackCount | None"
) -> dict[str, Any]:
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
        "marks": asdict(marks) if marks else None,
    }


def _status_cells(row: dict[str, Any]) -> tuple[str, ...]:
    from gateway.lifecycle.forecast_words import counted

    name = row["route"] if row["in_routes"] else f"{row['route']} (not in routes.yaml)"
    kept = (f"{row['rows']:,}", (row["oldest"] or "")[:10], _marks_text(row["marks"]))
    if not row["on"]:
        return (name, "off", "", "", *kept)
    redacts = ", ".join(row["redacts"]) or "nothing"
    return (name, f"{100 * row['share']:g} %", counted(row["retention_days"], "day"), redacts, *kept)


def _marks_text(marks: dict[str, int] | None) -> str:
    """Return what people said of a route's answers, and how many rows that makes."""
    from gateway.lifecycle.forecast_words import counted

    if marks is None:
        return ""
    rows = counted(marks["train"] + marks["evaluation"], "row")
    return f"{marks['right']:,} right, {marks['wrong']:,} wrong ({marks['corrections']:,} corrected): {rows}"
