from collections.abc import Iterator

import pytest
from postgres_server import RunningPostgres, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[RunningPostgres]:
    """A PostgreSQL that stories share, each in a database of its own."""
    with running_postgres() as server:
        yield server
