"""SQLite's connection as the driver makes it, but one that can be told twice to end."""

import asyncio
import sqlite3
from typing import Any

import aiosqlite


class SqliteConnection(aiosqlite.Connection):
    """The driver's, whose thread is stopped once.

    Where a task is cancelled while it closes a connection, SQLAlchemy stops the connection's thread, and the close
    that is under way does so again. The driver (aiosqlite 0.22) then waits for an answer of a thread that has ended:
    for ever, and the event loop's end with it.
    """

    _stopped: "asyncio.Future[Any] | None" = None

    def stop(self) -> "asyncio.Future[Any] | None":
        """Stop the thread; return what to wait for, the same each time. None: no loop is there to wait in."""
        if self._running:
            self._stopped = super().stop()
        return self._stopped


def connect(database: str, **options: Any) -> SqliteConnection:
    """Return a connection that opens when it is awaited, as ``aiosqlite.connect`` does."""
    connection = SqliteConnection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    # A process that ends does not wait for it.
    connection._thread.daemon = True
    return connection
