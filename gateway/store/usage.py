"""Reads and writes the ledger's rows."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Dialect, case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, SystemClock
from gateway.reasons import Outcome, Role
from gateway.store.bulk import BulkTable
from gateway.store.database import Database, collided, unavailable_as_such, where, writing
from gateway.store.rollups import Rollups
from gateway.store.settling import settle_journal
from gateway.store.sums import AttemptRow, Labels, Sums
from gateway.store.tables import attempts, served_targets
from gateway.store.tables_ledger import journals, usage_days
from gateway.store.traffic import started_before

__all__ = ["AttemptRow", "Checkpoint", "KnownJournal", "Total", "UsageStore"]

_NOTED_EVERY: Final = timedelta(minutes=10)
_TRIES: Final = 4
_PAUSE_S: Final = 0.05
# Rows that one transaction deletes, and rows that are added up at once: some 4 ms of this process's core.
_DELETED_AT_ONCE: Final = 2_000
_ADDED_AT_ONCE: Final = 500
# Kinds of rows whose answers were a route's own, and not a probe's one token.
_EXERCISING: Final = ("live", "rehearsal", "evaluation")


class Checkpoint(NamedTuple):
    """How far a journal is in the database: all before this place is."""

    journal: str
    """The name of its directory."""
    segment: int
    offset: int


class KnownJournal(NamedTuple):
    """A journal that the database knows of, and when it was last told."""

    checkpoint: Checkpoint
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Total:
    """What one model of one route was used for, and cost, in a span of time."""

    route: str
    provider: str
    model: str
    """What answered, or where nothing did, what was asked."""
    role: str
    attempts: int
    failed: int
    unpriced: int
    """Attempts that used tokens and have no cost: ``cost_nanousd`` leaves them out."""
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_nanousd: int


class UsageStore:
    """The ledger's rows in one database; its statements are prepared once.

    Every method may raise ``DatabaseUnavailable``.
    """

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        dialect = database.engine.dialect
        self._attempts = BulkTable(attempts, dialect)
        self._rollups = Rollups(dialect)
        self._labels = Labels()
        self._note_served = _note_served(dialect)
        self._note_checkpoint = _note_checkpoint(dialect)
        # When each is to be noted again; as many as configurations ever named.
        self._note_from: dict[tuple[str, str], datetime] = {}

    async def insert_attempts(self, rows: Sequence[AttemptRow], checkpoint: Checkpoint | None = None) -> int:
        """Insert rows in one transaction and return how many were new: an attempt_id that is there already is skipped.

        With them go, for the new ones alone, their sums by the hour; which targets served, the first time and then
        every ten minutes; and how far the rows' journal is. All or nothing: raises for a row that cannot be stored.
        """
        # In one order on every replica: two that wait for each other's rows would wait for ever. Of rows with one id
        # the first counts.
        rows = sorted({row.attempt_id: row for row in reversed(rows)}.values(), key=attrgetter("attempt_id"))
        served = self._newly_served(rows)
        with unavailable_as_such(where(self._database.engine.url)):
            new = await self._inserted(rows, served, checkpoint)
        for row in served:
            self._note_from[row["provider"], row["model"]] = row["last_served_at"] + _NOTED_EVERY
        return new

    async def _inserted(
        self, rows: Sequence[AttemptRow], served: list[dict[str, Any]], checkpoint: Checkpoint | None
    ) -> int:
        for tried in range(1, _TRIES + 1):
            try:
                async with writing(self._database) as connection:
                    return await self._insert(connection, rows, served, checkpoint)
            except DBAPIError as error:
                if not collided(error) or tried == _TRIES:
                    raise
            await self._clock.sleep(tried * _PAUSE_S * random.uniform(0.5, 1.5))
        raise AssertionError("the last try returns or raises")

    async def _insert(
        self,
        connection: AsyncConnection,
        rows: Sequence[AttemptRow],
        served: list[dict[str, Any]],
        checkpoint: Checkpoint | None,
    ) -> int:
        new, sums = 0, Sums(self._labels)
        for start in range(0, len(rows), _ADDED_AT_ONCE):
            fresh = await self._attempts.insert_new(connection, rows[start : start + _ADDED_AT_ONCE])
            sums.add(fresh)
            new += len(fresh)
        if served:
            await connection.execute(self._note_served, served)
        # Last of what others wait for, since replicas share most of these rows.
        await self._rollups.add(connection, sums)
        if checkpoint is not None:
            await connection.execute(self._note_checkpoint, {**checkpoint._asdict(), "written_at": self._clock.now()})
        return new

    async def checkpoint(self, journal: str) -> Checkpoint | None:
        """Return how far a journal is in the database; None: nothing of it is known to be."""
        found = await self._read(
            select(journals.c.journal, journals.c.segment, journals.c.offset).where(journals.c.journal == journal)
        )
        return Checkpoint(**found[0]) if found else None

    async def forget_journal(self, journal: str) -> None:
        """Remove what is noted of a journal whose rows are all here, and settle what its process still held.

        Its directory is gone or about to be.
        """
        with unavailable_as_such(where(self._database.engine.url)):
            async with writing(self._database) as connection:
                await settle_journal(connection, journal)
                await connection.execute(delete(journals).where(journals.c.journal == journal))

    async def journals_known(self) -> list[KnownJournal]:
        """Return the journals that are noted, by name: those of living processes, and of others that died."""
        found = await self._read(select(journals).order_by(journals.c.journal))
        return [
            KnownJournal(Checkpoint(row["journal"], row["segment"], row["offset"]), row["written_at"]) for row in found
        ]

    async def delete_older(self, before: datetime, most: int) -> int:
        """Delete rows that started before the hour of ``before``, the oldest first, and return how many.

        At most ``most``, in transactions of 2,000. Their sums stay.
        """
        # Whole hours: what is left of one could not be told from an hour that lost rows.
        older = started_before(before.replace(minute=0, second=0, microsecond=0))
        deleted = 0
        while deleted < most:
            count = min(_DELETED_AT_ONCE, most - deleted)
            oldest = select(attempts.c.attempt_id).where(older).order_by(attempts.c.attempt_id).limit(count)
            with unavailable_as_such(where(self._database.engine.url)):
                async with writing(self._database) as connection:
                    gone = await connection.execute(delete(attempts).where(attempts.c.attempt_id.in_(oldest)))
            deleted += gone.rowcount
            if gone.rowcount < count:
                break
        return deleted

    def _newly_served(self, rows: Sequence[AttemptRow]) -> list[dict[str, Any]]:
        served: dict[tuple[str, str], dict[str, Any]] = {}
        for row in rows:
            if row.outcome is not Outcome.OK:
                continue
            target, at = (row.provider, row.model_asked), row.started_at
            due = self._note_from.get(target)
            if due is None or at >= due:
                names = {"provider": target[0], "model": target[1], "first_served_at": at, "last_served_at": at}
                noted = served.setdefault(target, names)
                noted["first_served_at"] = min(noted["first_served_at"], at)
                noted["last_served_at"] = max(noted["last_served_at"], at)
        # In one order on every replica: two that lock each other's rows would wait for ever.
        return [served[target] for target in sorted(served)]

    async def served_targets(self) -> frozenset[tuple[str, str]]:
        """Return provider and model of every target that ever served."""
        rows = await self._read(select(served_targets.c.provider, served_targets.c.model))
        return frozenset((row["provider"], row["model"]) for row in rows)

    async def last_served(self) -> dict[tuple[str, str], datetime]:
        """Return when each target last served, to within ten minutes, by provider's name and model."""
        noted = served_targets.c
        rows = await self._read(select(noted.provider, noted.model, noted.last_served_at, noted.first_served_at))
        return {(row["provider"], row["model"]): row["last_served_at"] or row["first_served_at"] for row in rows}

    async def fallbacks_answered(self, since: datetime | None = None) -> dict[str, datetime]:
        """Return when a fallback last answered, live, in a rehearsal or in an evaluation, by the route's name.

        From the totals of whole days (UTC), from that of ``since`` on.
        """
        row = usage_days.c
        answered = row.attempts - row.failed - row.interrupted - row.cancelled > 0
        query = (
            select(row.route, func.max(row.last_at).label("last_at"))
            .where(row.role == Role.FALLBACK, row.kind.in_(_EXERCISING), answered)
            .group_by(row.route)
        )
        if since is not None:
            query = query.where(row.day >= since.replace(hour=0, minute=0, second=0, microsecond=0))
        return {found["route"]: found["last_at"] for found in await self._read(query)}

    async def attempts(self, *, limit: int = 100, route: str | None = None) -> list[dict[str, Any]]:
        """Return the latest rows, newest first, by column name."""
        query = select(attempts).order_by(attempts.c.attempt_id.desc()).limit(limit)
        return await self._read(query if route is None else query.where(attempts.c.route == route))

    async def totals(self, since: datetime, until: datetime) -> list[Total]:
        """Return totals of live traffic from ``since`` until, and without, ``until``; pinned rows are left out."""
        row = attempts.c
        model = func.coalesce(row.model_answered, row.model_asked).label("model")
        by = (row.route, row.provider, model, row.role)
        query = (
            select(
                *by,
                func.count().label("attempts"),
                _count(row.outcome != Outcome.OK).label("failed"),
                _count(row.cost_nanousd.is_(None) & (row.input_tokens + row.output_tokens > 0)).label("unpriced"),
                func.sum(row.input_tokens).label("input_tokens"),
                func.sum(row.cached_input_tokens).label("cached_input_tokens"),
                func.sum(row.output_tokens).label("output_tokens"),
                func.coalesce(func.sum(row.cost_nanousd), 0).label("cost_nanousd"),
            )
            .where(row.started_at >= since, row.started_at < until, row.kind == "live", row.pinned.is_(False))
            .group_by(*by)
            .order_by(*by)
        )
        return [_total(found) for found in await self._read(query)]

    async def _read(self, query: Any) -> list[dict[str, Any]]:
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                result = await connection.execute(query)
                names = tuple(result.keys())
                return [dict(zip(names, row, strict=True)) for row in result]


def _note_served(dialect: Dialect) -> Any:
    """Return the statement that notes when targets served; the latest holds, whichever replica writes last."""
    given = _insert_of(dialect)(served_targets)
    noted, latest = served_targets.c.last_served_at, given.excluded.last_served_at
    return given.on_conflict_do_update(
        index_elements=list(served_targets.primary_key),
        set_={"last_served_at": latest},
        where=noted.is_(None) | (noted < latest),
    )


def _note_checkpoint(dialect: Dialect) -> Any:
    given = _insert_of(dialect)(journals)
    others = {column.name: given.excluded[column.name] for column in journals.columns if not column.primary_key}
    return given.on_conflict_do_update(index_elements=list(journals.primary_key), set_=others)


def _insert_of(dialect: Dialect) -> Any:
    return postgresql.insert if dialect.name == "postgresql" else sqlite.insert


def _total(found: Mapping[str, Any]) -> Total:
    # A sum of integers comes as a decimal from PostgreSQL.
    values: dict[str, Any] = {
        name: int(value) if isinstance(value, Decimal) else value for name, value in found.items()
    }
    return Total(**values)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
