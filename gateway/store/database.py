"""The database's engine: opened, checked, closed. Nothing here imports alembic, which ``migrate`` alone needs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import URL, event, func, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.store.sqlite_connection import connect
from gateway.store.tables import SCHEMA_HEAD

_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
# Short: the ledger tries again by itself, and a wait inside the driver cannot be called off.
_BUSY_TIMEOUT_MS: Final = 1000
_SQLITE_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    # A power cut may lose the last commits, never the file's consistency; but for ``writing``.
    "PRAGMA synchronous = NORMAL",
)
# How PostgreSQL's codes begin where no row is at fault: no connection or none left, no such user or database (yet), a
# deadlock, no such table or no right to it, a lock, a shutdown, a failing disk; and a standby that is not writable yet.
_PASSING: Final = ("08", "28", "3D", "40", "42", "53", "55", "57", "58", "25006")
# Two transactions in each other's way, one of which PostgreSQL called off: a serialization failure, a deadlock.
_COLLIDED: Final = ("40001", "40P01")


# In seconds, to connect and for one statement: a network that swallows packets would never say that it is gone.
_POSTGRES_LIMITS: Final = {"timeout": 5.0, "command_timeout": 60.0}


class DatabaseUnavailable(Exception):
    """The database cannot be reached, opened or locked just now: worth another try, later."""


class Database:
    """One async engine. Made by ``open``; whoever opened it closes it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open the database and prove that it answers.

        A SQLite file is created where it is missing, readable by its owner alone. Raises ``DatabaseUnavailable`` with
        the file's path, or the URL without its password.
        """
        async_url = to_async_url(url)
        database = cls(create_engine(async_url))
        try:
            with unavailable_as_such(where(async_url)):
                await asyncio.to_thread(make_sqlite_file, async_url)
                async with database.engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
        except BaseException:
            await database.close()
            raise
        return database

    @classmethod
    async def open_existing(cls, url: str) -> Self | None:
        """Open a database for reading; None where nothing was kept there yet: no file, or no schema.

        Raises ``DatabaseUnavailable`` where it cannot be reached, or its schema is another version's.
        """
        async_url = to_async_url(url)
        if not await asyncio.to_thread(_may_exist, async_url):
            return None
        database = await cls.open(url)
        version = await database.schema_version()
        if version == SCHEMA_HEAD:
            return database
        await database.close()
        if version is None:
            return None
        raise DatabaseUnavailable(f"{where(async_url)}: its schema is not this version's; run 'gateway migrate'")

    async def schema_version(self) -> str | None:
        """Return the revision the schema stands at; None: nothing was ever migrated here."""
        with unavailable_as_such(where(self.engine.url)):
            async with self.engine.connect() as connection:
                if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
                    return None
                version: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
                return version

    async def is_current(self) -> bool:
        """Tell whether the schema is the one this code is written for."""
        return await self.schema_version() == SCHEMA_HEAD

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def to_async_url(url: str) -> URL:
    """Return the URL with the async driver that we ship. Raises ``ValueError`` for any other database, or no URL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        # SQLAlchemy's words end here: a later version's might repeat the URL, and it may hold a password.
        raise ValueError("that is no database URL, such as sqlite:///state/gateway.db") from None
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise ValueError(f"{backend}: the ledger is kept in sqlite or postgresql")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError("sqlite: the URL names no file, and a ledger in memory is none")
    return parsed.set(drivername=_DRIVERS[backend])


def create_engine(url: URL, *, patient: bool = False) -> AsyncEngine:
    """Return the engine, its SQLite connections prepared; connects to nothing yet.

    ``patient``: a statement may take as long as it likes, as a migration's may.
    """
    postgres = url.get_backend_name() == "postgresql"
    how: dict[str, Any] = {} if postgres else {"async_creator_fn": connect}
    engine = create_async_engine(url, connect_args=_POSTGRES_LIMITS if postgres and not patient else how)
    if url.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def make_sqlite_file(url: URL) -> None:
    """Create a SQLite database's directory and empty file, both for the owner alone; leaves others as they are."""
    if url.get_backend_name() == "sqlite" and url.database:
        path = Path(url.database)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)


def _may_exist(url: URL) -> bool:
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


def where(url: URL) -> str:
    """Name the database for a message: a file's absolute path, or the URL with its password hidden."""
    if url.get_backend_name() == "sqlite" and url.database:
        return str(Path(url.database).absolute())
    # libpq's form of a URL has its password among the parameters.
    secret = [name for name in url.query if "password" in name.lower()]
    return url.difference_update_query(secret).render_as_string(hide_password=True)


@contextmanager
def unavailable_as_such(place: str) -> Iterator[None]:
    """Raise ``DatabaseUnavailable`` for what another try may mend; let through what it will not, a refused row."""
    try:
        yield
    except (OperationalError, InternalError, PoolTimeout, OSError) as error:
        raise DatabaseUnavailable(f"{place}: {_cause(error)}") from error
    except DBAPIError as error:
        # A bare DatabaseError is SQLite's "not a database" and "malformed": no row's fault either.
        passing = (getattr(error.orig, "sqlstate", None) or "").startswith(_PASSING)
        if error.connection_invalidated or passing or type(error) is DatabaseError:
            raise DatabaseUnavailable(f"{place}: {_cause(error)}") from error
        raise


def collided(error: DBAPIError) -> bool:
    """Tell whether a transaction was called off for another's sake: the same again, and it goes through."""
    return getattr(error.orig, "sqlstate", None) in _COLLIDED


@asynccontextmanager
async def writing(database: Database, *, wait_ms: int = _BUSY_TIMEOUT_MS) -> AsyncIterator[AsyncConnection]:
    """Open a transaction that reads what it then writes, and commit it so that it survives a power cut.

    A journal lets go of rows once the database has them. SQLite gives it the write lock at once: what it has read
    cannot change before it writes. ``wait_ms``: how long it waits for that lock; nobody can call it off meanwhile.
    """
    async with database.engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        # Its context, rather than a commit of ours: where a commit fails, only that rolls back. Else the connection
        # goes back to the pool with the transaction, and SQLite's lock, still open.
        try:
            async with connection.begin():
                if is_sqlite:
                    if wait_ms != _BUSY_TIMEOUT_MS:
                        await connection.exec_driver_sql(f"PRAGMA busy_timeout = {wait_ms}")
                    await connection.exec_driver_sql("PRAGMA synchronous = FULL")
                    await connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
        except BaseException:
            # Its settings are this transaction's, and what failed may be its end: nobody is to get this connection.
            if is_sqlite and not (connection.closed or connection.invalidated):
                await connection.invalidate()
            raise
        if is_sqlite:
            await connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
            if wait_ms != _BUSY_TIMEOUT_MS:
                await connection.exec_driver_sql(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")


async def alone_with(connection: AsyncConnection, *names: str) -> None:
    """Wait for every other transaction that asked for the same name, and have later ones wait for this one's end.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("\n".join(names)))))


def _cause(error: SQLAlchemyError | OSError) -> str:
    # The driver's own words: SQLAlchemy's would repeat the statement and its parameters.
    return str(error.orig) if isinstance(error, DBAPIError) and error.orig is not None else str(error)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
