"""Who changed what: a row for each change that an admin makes, written in the change's own transaction."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import time_ordered_id
from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_keys import audit

MOST_ROWS: Final = 1_000
"""That are read at once."""

CLI: Final = "cli"
API: Final = "api"
PAGE: Final = "page"

Changes = Mapping[str, tuple[Any, Any]]
"""By field: what it was before, and what it is now, as JSON has it. Never a secret, nor what one is known by."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change."""

    audit_id: str
    """A UUIDv7 of ``at``: later changes have larger ones."""
    at: datetime
    by: str
    """The label of the key that did it, or the person at a command line."""
    action: str
    """``key_created``, ``key_changed``, ``key_rotated``, ``key_revoked``, ``route_moved``, …"""
    subject: str
    """What it was done to: a key's id, a route."""
    changes: Changes | None
    through: str
    """``cli``, ``api`` or ``page``."""


def audit_row(
    at: datetime, *, by: str, action: str, subject: str, through: str, changes: Changes | None = None
) -> AuditRow:
    """Return the row of a change that is made now."""
    return AuditRow(time_ordered_id(at), at, by, action, subject, changes, through)


async def keep_audit(connection: AsyncConnection, row: AuditRow) -> None:
    """Write a row within the transaction of the change that it tells of."""
    await connection.execute(insert(audit).values(**asdict(row)))


class AuditStore:
    """The table ``audit``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database, self._rows = database, Rows(database)

    async def add(self, row: AuditRow) -> None:
        """Keep the row of a change that was made elsewhere than in this database."""
        await self._rows.add(audit, asdict(row))

    async def latest(
        self, limit: int = 100, *, subject: str | None = None, before: str | None = None
    ) -> list[AuditRow]:
        """Return the latest changes, newest first; ``before``: those older than the one with this id."""
        query = select(audit).order_by(audit.c.audit_id.desc()).limit(min(limit, MOST_ROWS))
        if subject is not None:
            query = query.where(audit.c.subject == subject)
        if before is not None:
            query = query.where(audit.c.audit_id < before)
        return [AuditRow(**{**row, "changes": _pairs(row["changes"])}) for row in await self._rows.read(query)]


def _pairs(changes: dict[str, list[Any]] | None) -> Changes | None:
    return None if changes is None else {field: (before, after) for field, (before, after) in changes.items()}
