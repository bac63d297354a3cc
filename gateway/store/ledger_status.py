"""What a database holds of the ledger, at a price that does not grow with it: looks at keys, sums of hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import case, func, select, text

from gateway.reasons import Outcome
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.sums import next_day
from gateway.store.tables import attempts
from gateway.store.tables_ledger import journals, usage_days, usage_hours
from gateway.store.traffic import started_within

LONGEST_REQUEST: Final = timedelta(hours=1)
_TABLES: Final = ("attempts", "usage_hours", "usage_days", "usage_labels", "journals")


@dataclass(frozen=True, slots=True)
class Holding:
    """What is there."""

    rows: int
    """About: what the hourly totals count from the first row's hour on."""
    first_at: datetime | None
    """When the first attempt started."""
    last_at: datetime | None
    first_hour: datetime | None
    """The first with totals; they stay when rows are deleted."""
    last_hour: datetime | None
    bytes: int
    """On disk, indexes included; of SQLite the whole file."""

    @property
    def lacks_totals(self) -> bool:
        """Whether rows are older than totals."""
        return is_older(self.first_at, self.first_hour)


@dataclass(frozen=True, slots=True)
class Noted:
    """How far the database has a journal."""

    journal: str
    segment: int
    offset: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Attempts that used tokens and have no cost."""

    provider: str
    model: str
    attempts: int
    tokens: int


def is_older(first_row: datetime | None, first_hour: datetime | None) -> bool:
    """Tell whether there are rows from before the first hour with totals."""
    return first_row is not None and (first_hour is None or first_row < first_hour)


class LedgerStatus:
    """Reads. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def holding(self) -> Holding:
        """Return how much is there."""
        at, key = attempts.c.started_at, attempts.c.attempt_id
        first = await self._one(select(at).order_by(key.asc()).limit(1))
        last = await self._one(select(at).order_by(key.desc()).limit(1))
        hour = usage_hours.c.hour
        return Holding(
            rows=await self._rows_since(first) if first is not None else 0,
            first_at=first,
            last_at=last,
            first_hour=await self._one(select(func.min(hour))),
            last_hour=await self._one(select(func.max(hour))),
            bytes=await self._bytes(),
        )

    async def _rows_since(self, first: datetime) -> int:
        """Add up the hours of the first row's day, and the days after it: a tenth of what all hours would take."""
        hours, days, next_ = usage_hours.c, usage_days.c, next_day(first)
        of_day = (hours.hour >= first.replace(minute=0, second=0, microsecond=0), hours.hour < next_)
        counted = [
            await self._one(select(func.sum(hours.attempts)).where(*of_day)),
            await self._one(select(func.sum(days.attempts)).where(days.day >= next_)),
        ]
        return sum(int(count or 0) for count in counted)

    async def lacks_totals_since(self) -> datetime | None:
        """Return when the first row started, where rows are older than totals; None: every hour of rows has them.

        Rows of a database that was migrated from a version without totals have none until they are made.
        """
        first = await self._one(select(attempts.c.started_at).order_by(attempts.c.attempt_id).limit(1))
        summed = await self._one(select(func.min(usage_hours.c.hour)))
        return first if is_older(first, summed) else None

    async def noted(self) -> dict[str, Noted]:
        """Return how far each journal is in the database, by its name."""
        rows = await self._rows(
            select(journals.c.journal, journals.c.segment, journals.c.offset, journals.c.written_at)
        )
        return {row[0]: Noted(*row) for row in rows}

    async def present(self, attempt_ids: Sequence[str]) -> set[str]:
        """Return which of these attempts have their row; some hundreds at once."""
        key = attempts.c.attempt_id
        # SQLite keeps an id without its hyphens, and gives it back like that.
        asked = {id_.replace("-", ""): id_ for id_ in attempt_ids}
        rows = await self._rows(select(key).where(key.in_(attempt_ids)))
        return {asked[str(row[0]).replace("-", "")] for row in rows}

    async def unpriced(self, since: datetime, until: datetime) -> list[Unpriced]:
        """Return what could not be priced, by what answered, most first; by the hours that a period touches."""
        hour = usage_hours.c
        count = func.sum(hour.unpriced)
        rows = await self._rows(
            select(hour.provider, hour.model, count, func.sum(hour.input_tokens + hour.output_tokens))
            .where(hour.hour > since - timedelta(hours=1), hour.hour < until, hour.unpriced > 0)
            .group_by(hour.provider, hour.model)
            .order_by(count.desc(), hour.provider, hour.model)
        )
        return [Unpriced(provider, model, int(attempts_), int(tokens)) for provider, model, attempts_, tokens in rows]

    async def answered_twice(self, since: datetime, until: datetime) -> int:
        """Return how many request ids that were first answered in a period were answered again within an hour.

        By live attempts that came to a good end. Reads every row of the period: ask for a day at a time.
        """
        started = attempts.c.started_at
        again = (
            select(attempts.c.request_id)
            .where(
                started_within(since, until + LONGEST_REQUEST),
                attempts.c.kind == "live",
                attempts.c.outcome == Outcome.OK,
            )
            .group_by(attempts.c.request_id)
            .having(func.count() > 1, func.sum(case((started < until, 1), else_=0)) > 0)
            .subquery()
        )
        return int(await self._one(select(func.count()).select_from(again)) or 0)

    async def _bytes(self) -> int:
        if self._database.engine.dialect.name == "sqlite":
            pages = await self._one(text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"))
            return int(pages or 0)
        named = ", ".join(f"('{name}')" for name in _TABLES)
        sizes = text(f"SELECT sum(pg_total_relation_size(t.name::regclass)) FROM (VALUES {named}) AS t(name)")
        return int(await self._one(sizes) or 0)

    async def _one(self, query: Any) -> Any:
        rows = await self._rows(query)
        return rows[0][0] if rows else None

    async def _rows(self, query: Any) -> list[Any]:
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return list(await connection.execute(query))
