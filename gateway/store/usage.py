"""Reads and writes the ledger's rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Dialect, Table, case, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.reasons import Outcome
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.tables import attempts, served_targets

# One statement's rows. The driver works in a thread that shares this process's core: a slice is how long it may keep
# the requests waiting, some 4 ms.
_SLICE_ROWS: Final = 250
_ROWS_AT_ONCE: Final = 50
_NOTED_EVERY: Final = timedelta(minutes=10)


class AttemptRow(Protocol):
    """What can be stored: a named tuple whose fields are the columns of ``attempts``, in their order."""

    def __iter__(self) -> Iterator[Any]: ...

    @property
    def provider(self) -> str:
        """The provider's name."""

    @property
    def model_asked(self) -> str:
        """The model that the attempt asked for."""

    @property
    def outcome(self) -> Outcome:
        """How the attempt ended."""

    @property
    def started_at(self) -> datetime:
        """When it started; aware."""


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

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.engine.dialect
        self._insert_attempts = _BulkInsert(attempts, dialect)
        self._note_served = _note_served(dialect)
        # When each is to be noted again; as many as configurations ever named.
        self._note_from: dict[tuple[str, str], datetime] = {}

    async def insert_attempts(self, rows: Sequence[AttemptRow]) -> int:
        """Insert rows in one transaction and return how many were new: an attempt_id that is there already is skipped.

        Also notes which targets served, the first time and then every ten minutes. All or nothing: raises for a row
        that cannot be stored.
        """
        served = self._newly_served(rows)
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                new = await self._insert_attempts(connection, rows)
                if served:
                    await connection.execute(self._note_served, served)
        for row in served:
            self._note_from[row["provider"], row["model"]] = row["last_served_at"] + _NOTED_EVERY
        return new

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


class _BulkInsert:
    """``INSERT … ON CONFLICT DO NOTHING`` by the driver itself.

    SQLAlchemy's per-row work would cost more than the insert itself; the statement, and what turns a value into the
    driver's, come from it all the same. SQLite gets many rows in one statement: its driver lets go of the interpreter's
    lock once per statement, and under load gets it back only after a wait.
    """

    def __init__(self, table: Table, dialect: Dialect) -> None:
        key = [column.name for column in table.primary_key]
        statement = _insert_of(dialect)(table).on_conflict_do_nothing(index_elements=key)
        self._sql = str(statement.compile(dialect=dialect, column_keys=[column.name for column in table.columns]))
        self._sql_of_many = ""
        if dialect.name == "sqlite":
            head, values, tail = self._sql.partition(" VALUES ")
            one, conflict, rest = tail.partition(" ON CONFLICT ")
            self._sql_of_many = head + values + ", ".join([one] * _ROWS_AT_ONCE) + conflict + rest
        self._conversions: list[tuple[int, Callable[[Any], Any]]] = [
            (position, convert)
            for position, column in enumerate(table.columns)
            if (convert := column.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        ]

    async def __call__(self, connection: AsyncConnection, rows: Sequence[Iterable[Any]]) -> int:
        """Insert and return how many rows were new; where a driver does not count, how many there were."""
        new = 0
        for start in range(0, len(rows), _SLICE_ROWS):
            parameters = [self._row(row) for row in rows[start : start + _SLICE_ROWS]]
            while self._sql_of_many and len(parameters) >= _ROWS_AT_ONCE:
                flat = tuple(chain.from_iterable(parameters[:_ROWS_AT_ONCE]))
                new += (await connection.exec_driver_sql(self._sql_of_many, flat)).rowcount
                del parameters[:_ROWS_AT_ONCE]
            if parameters:
                result = await connection.exec_driver_sql(self._sql, parameters)
                new += result.rowcount if result.rowcount >= 0 else len(parameters)
        return new

    def _row(self, row: Iterable[Any]) -> tuple[Any, ...]:
        values = list(row)
        for position, convert in self._conversions:
            if (value := values[position]) is not None:
                values[position] = convert(value)
        return tuple(values)


def _note_served(dialect: Dialect) -> Any:
    """Return the statement that notes when targets served; the latest holds, whichever replica writes last."""
    given = _insert_of(dialect)(served_targets)
    noted, latest = served_targets.c.last_served_at, given.excluded.last_served_at
    return given.on_conflict_do_update(
        index_elements=list(served_targets.primary_key),
        set_={"last_served_at": latest},
        where=noted.is_(None) | (noted < latest),
    )


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
