"""Many rows with one statement, by the driver itself: SQLAlchemy's own per-row work would cost more than the insert.

The statements' types, and what turns a value into SQLite's, come from SQLAlchemy all the same. PostgreSQL gets one JSON
array a column: a third of the processor time that its driver takes to encode arrays, some 10 microseconds a row of 43
columns. SQLite gets many rows in one statement: its driver lets go of the interpreter's lock once per statement, and
under load gets it back only after a wait.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import orjson
from sqlalchemy import JSON, Boolean, Column, Dialect, Table, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.columns import Instant, Word, microseconds_of

# A slice is how long one statement may keep the requests waiting that share this process's core: some 2 ms.
_POSTGRES_ROWS: Final = 250
_SQLITE_ROWS: Final = 200

Values = tuple[Any, ...]
"""A row's values, or its key's, in the table's order: aware datetimes, enums' members, JSON as objects."""


class HasValues(Protocol):
    """A row that can be stored: a tuple whose fields are the table's columns, in their order."""

    def __iter__(self) -> Any: ...

    def __getitem__(self, position: int, /) -> Any: ...


Row = TypeVar("Row", bound=HasValues)
Item = TypeVar("Item")


class BulkTable:
    """One table's statements; an empty sequence is no statement. A statement that fails is the transaction's end."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        kind = _PostgresStatements if dialect.name == "postgresql" else _SqliteStatements
        self._statements: _Statements = kind(table, dialect)

    async def insert_new(self, connection: AsyncConnection, rows: Sequence[Row]) -> list[Row]:
        """Insert the rows whose key is not there yet, and return those; the key is one UUID, the first column."""
        new: list[Row] = []
        for part in self._slices(rows):
            found = await connection.exec_driver_sql(
                self._statements.insert_new(len(part)), self._statements.rows(part)
            )
            keys = found.scalars().all()
            new += part if len(keys) == len(part) else _of(part, keys)
        return new

    async def replace(self, connection: AsyncConnection, rows: Sequence[Values]) -> None:
        """Insert the rows; where a row's key is there already, all the others of its columns are set."""
        for part in self._slices(rows):
            await connection.exec_driver_sql(self._statements.replace(len(part)), self._statements.rows(part))

    async def find(self, connection: AsyncConnection, keys: Sequence[Values]) -> dict[Values, Values]:
        """Return by key, where there is one, the row's other columns, as the driver returns them; JSON as text."""
        rows: dict[Values, Values] = {}
        for part in self._slices(keys):
            found = await connection.exec_driver_sql(self._statements.find(len(part)), self._statements.keys(part))
            rows.update((part[found_row[0]], tuple(found_row[1:])) for found_row in found)
        return rows

    def _slices(self, rows: Sequence[Item]) -> Iterable[Sequence[Item]]:
        most = self._statements.most
        return (rows[start : start + most] for start in range(0, len(rows), most))


class _Statements(ABC):
    """What both databases' statements have in common; ``insert_new``, ``replace`` and ``find`` take a count of rows."""

    most: int

    def __init__(self, table: Table, dialect: Dialect) -> None:
        quoted = dialect.identifier_preparer.quote
        self._columns = list(table.columns)
        self._key = list(table.primary_key)
        self._table = quoted(table.name)
        self._names = [quoted(column.name) for column in self._columns]
        key = [quoted(column.name) for column in self._key]
        others = [name for name in self._names if name not in key]
        is_json = {quoted(column.name) for column in self._columns if isinstance(column.type, JSON)}
        self._found = ", ".join(f"CAST(kept.{name} AS TEXT)" if name in is_json else f"kept.{name}" for name in others)
        self._same_key = " AND ".join(f"kept.{name} = given.c{position}" for position, name in enumerate(key))
        conflict = f"ON CONFLICT ({', '.join(key)}) DO"
        self._skip = f"{conflict} NOTHING RETURNING {key[0]}"
        self._set = f"{conflict} UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)}"
        self._insert = f"INSERT INTO {self._table} ({', '.join(self._names)})"

    @abstractmethod
    def insert_new(self, count: int) -> str:
        """Return the statement that inserts so many rows, and returns the keys of those that were new."""

    @abstractmethod
    def replace(self, count: int) -> str:
        """Return the statement that inserts so many rows, or replaces those with their keys."""

    @abstractmethod
    def find(self, count: int) -> str:
        """Return the statement that finds the rows of so many keys."""

    @abstractmethod
    def rows(self, rows: Sequence[Iterable[Any]]) -> Values:
        """Return a statement's parameters for rows."""

    @abstractmethod
    def keys(self, keys: Sequence[Iterable[Any]]) -> Values:
        """Return a statement's parameters for keys."""


class _PostgresStatements(_Statements):
    most = _POSTGRES_ROWS

    def __init__(self, table: Table, dialect: Dialect) -> None:
        super().__init__(table, dialect)
        aliases = ", ".join(f"c{position}" for position in range(len(self._columns)))
        values = ", ".join(
            f"c{position}::json" if isinstance(column.type, JSON) else f"c{position}"
            for position, column in enumerate(self._columns)
        )
        given = f"{self._insert} SELECT {values} FROM {_given(self._columns, dialect)} AS given ({aliases})"
        self._insert_new = f"{given} {self._skip}"
        self._replace = f"{given} {self._set}"
        key_aliases = ", ".join(f"c{position}" for position in range(len(self._key)))
        self._find = (
            f"SELECT given.n - 1, {self._found} FROM {_given(self._key, dialect)} WITH ORDINALITY"
            f" AS given ({key_aliases}, n) JOIN {self._table} AS kept ON {self._same_key}"
        )

    def insert_new(self, count: int) -> str:
        return self._insert_new

    def replace(self, count: int) -> str:
        return self._replace

    def find(self, count: int) -> str:
        return self._find

    def rows(self, rows: Sequence[Iterable[Any]]) -> Values:
        return _arrays(self._columns, rows)

    def keys(self, keys: Sequence[Iterable[Any]]) -> Values:
        return _arrays(self._key, keys)


def _given(columns: Sequence[Column[Any]], dialect: Dialect) -> str:
    """Return the rows that ``_arrays`` gives, as a relation."""
    functions = (
        f"json_array_elements_text(${number}::text::json)"
        if _is_text(column)
        else f"unnest(${number}::text::{column.type.compile(dialect)}[])"
        for number, column in enumerate(columns, 1)
    )
    return f"ROWS FROM ({', '.join(functions)})"


def _arrays(columns: Sequence[Column[Any]], rows: Sequence[Iterable[Any]]) -> Values:
    """Return one array a column: JSON's for text, PostgreSQL's own for all else: the same, in braces."""
    arrays = []
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        is_instant = isinstance(column.type, Instant)
        text = orjson.dumps([microseconds_of(value) for value in values] if is_instant else values).decode()
        arrays.append(text if _is_text(column) else f"{{{text[1:-1]}}}")
    return tuple(arrays)


def _is_text(column: Column[Any]) -> bool:
    # A JSON null among them becomes the database's own; an object becomes its text.
    return isinstance(column.type, (Text, Word, JSON))


class _SqliteStatements(_Statements):
    most = _SQLITE_ROWS

    def __init__(self, table: Table, dialect: Dialect) -> None:
        super().__init__(table, dialect)
        self._row = f"({', '.join('?' * len(self._columns))})"
        self._conversions = _conversions(self._columns, dialect)
        self._key_conversions = _conversions(self._key, dialect)
        self._key_aliases = ", ".join(f"c{position}" for position in range(len(self._key)))
        self._key_row = ", ".join("?" * len(self._key))

    def insert_new(self, count: int) -> str:
        return f"{self._insert} VALUES {', '.join([self._row] * count)} {self._skip}"

    def replace(self, count: int) -> str:
        return f"{self._insert} VALUES {', '.join([self._row] * count)} {self._set}"

    def find(self, count: int) -> str:
        keys = ", ".join(f"({self._key_row}, {position})" for position in range(count))
        # A cross join is SQLite's word for this order: the keys first, each looked up.
        return (
            f"WITH given ({self._key_aliases}, n) AS (VALUES {keys})"
            f" SELECT given.n, {self._found} FROM given CROSS JOIN {self._table} AS kept ON {self._same_key}"
        )

    def rows(self, rows: Sequence[Iterable[Any]]) -> Values:
        return _flat(rows, self._conversions)

    def keys(self, keys: Sequence[Iterable[Any]]) -> Values:
        return _flat(keys, self._key_conversions)


class _Conversion(NamedTuple):
    position: int
    convert: Callable[[Any], Any]
    """Takes any value but None, which stays what it is."""
    has_few_values: bool
    """Whether so few different ones come that each is converted once a statement."""


def _conversions(columns: Sequence[Column[Any]], dialect: Dialect) -> list[_Conversion]:
    return [
        _Conversion(position, convert, isinstance(column.type, (Word, Boolean)))
        for position, column in enumerate(columns)
        if (convert := _conversion(column, dialect)) is not None
    ]


def _conversion(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    if isinstance(column.type, Instant):
        return microseconds_of
    return _json if isinstance(column.type, JSON) else column.type.dialect_impl(dialect).bind_processor(dialect)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _flat(rows: Sequence[Iterable[Any]], conversions: Sequence[_Conversion]) -> Values:
    """Return all values, row by row. By columns in between: a third of the time that row by row takes."""
    columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
    for position, convert, has_few_values in conversions:
        values = columns[position]
        if has_few_values:
            known = {value: None if value is None else convert(value) for value in set(values)}
            columns[position] = map(known.__getitem__, values)
        else:
            columns[position] = [None if value is None else convert(value) for value in values]
    return tuple(chain.from_iterable(zip(*columns, strict=True)))


def _of(rows: Sequence[Row], keys: Iterable[Any]) -> list[Row]:
    chosen = {_digits(key) for key in keys}
    return [row for row in rows if _digits(row[0]) in chosen]


def _digits(key: Any) -> str:
    """Return a UUID's digits, however a driver or a row writes it."""
    return str(key).replace("-", "")
