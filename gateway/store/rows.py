"""Reading and writing whole rows, for stores whose statements are few and far between."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.database import Database, unavailable_as_such, where

Row = dict[str, Any]


class Rows:
    """Statements on one database. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, query: Executable) -> list[Row]:
        """Return a query's rows by column name."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def write(self, *statements: Executable) -> list[int]:
        """Execute statements in one transaction; return how many rows each touched."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                return [(await connection.execute(statement)).rowcount for statement in statements]

    async def insert_new(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert rows, leaving out those whose key (or other unique column) is there; return how many were new."""
        new = 0
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                for row in rows:
                    statement = self._insert(table).values(dict(row)).on_conflict_do_nothing()
                    new += max(0, (await connection.execute(statement)).rowcount)
        return new

    async def put(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, or replace those with the same primary key."""
        key = [column.name for column in table.primary_key]
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                for row in rows:
                    statement = self._insert(table).values(dict(row))
                    rest = {name: statement.excluded[name] for name in row if name not in key}
                    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=rest))

    async def add(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert one row."""
        await self.write(insert(table).values(dict(row)))

    def _insert(self, table: Table) -> Any:
        postgres = self._database.engine.dialect.name == "postgresql"
        return postgresql.insert(table) if postgres else sqlite.insert(table)
