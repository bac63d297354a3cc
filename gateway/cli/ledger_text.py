"""What ``gateway ledger status`` prints, for people and for scripts."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gateway.cli.ledger_findings import findings_of

if TYPE_CHECKING:
    from gateway.cli.ledger_seen import Seen
    from gateway.ledger.journals_seen import JournalSeen

KINDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def status_lines(seen: "Seen", now: datetime) -> Iterator[str]:
    """Yield the lines for people."""
    database, holding = seen.database, seen.database.holding
    yield f"database   {database.place} ({KINDS.get(database.kind, database.kind)})"
    if holding is not None:
        yield f"schema     {database.schema}"
        span = f", started {minute(holding.first_at)} to {minute(holding.last_at)} UTC" if holding.last_at else ""
        yield f"rows       about {holding.rows:,}{span}"
        hours = f"by the hour, {minute(holding.first_hour)} to {minute(holding.last_hour)} UTC"
        yield f"totals     {hours if holding.first_hour else 'none yet'}"
        yield f"size       {size(holding.bytes)}"
    limit = f"{seen.ledger.journal_mib:,} MiB a process"
    yield f"journals   {seen.root.root}, {seen.ledger.durability}, limit {limit}, then {seen.ledger.on_full}"
    for journal in seen.root.journals:
        process = "running" if journal.live else "gone   "
        yield f"  {journal.name}  {process}  {size(journal.bytes):>10}  {_waits(seen, journal, now)}"
    if not seen.root.journals:
        yield "  none: no gateway runs with this journal directory, and none left rows behind"


def status_json(seen: "Seen") -> dict[str, Any]:
    """Return the object for scripts."""
    database, holding = seen.database, seen.database.holding
    return {
        "database": database.place,
        "kind": database.kind,
        "schema": database.schema,
        "lacks": database.lacks,
        "rows_about": holding.rows if holding else None,
        "first_at": instant(holding.first_at) if holding else None,
        "last_at": instant(holding.last_at) if holding else None,
        "first_hour": instant(holding.first_hour) if holding else None,
        "last_hour": instant(holding.last_hour) if holding else None,
        "bytes": holding.bytes if holding else None,
        "journal_root": str(seen.root.root),
        "journal_limit_bytes": seen.limit,
        "journals": [_journal_json(seen, journal) for journal in seen.root.journals],
        "damaged": [str(path) for path in seen.root.damaged],
        "refused_rows": seen.root.refused,
        "findings": findings_of(seen),
    }


def _journal_json(seen: "Seen", journal: "JournalSeen") -> dict[str, Any]:
    waits, noted = seen.waiting.get(journal.name), seen.database.noted.get(journal.name)
    return {
        "name": journal.name,
        "live": journal.live,
        "database": journal.database,
        "bytes": journal.bytes,
        "waits": None if waits is None or not waits.known else waits.since is not None,
        "oldest_waiting_at": instant(waits.since) if waits is not None else None,
        "checkpoint": None
        if noted is None
        else {"segment": noted.segment, "offset": noted.offset, "written_at": instant(noted.written_at)},
    }


def _waits(seen: "Seen", journal: "JournalSeen", now: datetime) -> str:
    if not seen.is_mine(journal):
        return f"for {journal.database or 'an unknown database'}"
    waits = seen.waiting.get(journal.name)
    if waits is None or not waits.known:
        return "what waits cannot be told without the database"
    if waits.since is None:
        return "all in the database"
    return f"rows wait, the oldest for {age((now - waits.since).total_seconds())}"


def minute(at: datetime | None) -> str:
    """Write an instant for people."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


def instant(at: datetime | None) -> str | None:
    """Write an instant for scripts."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def age(seconds: float) -> str:
    """Say how long ago something was."""
    if seconds < 120:
        return f"{max(0, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def size(count: float) -> str:
    """Say how many bytes, in a unit that reads well."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
