import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from migrated_database import migrated
from postgres_server import RunningPostgres
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.database import Database
from gateway.store.tables import metadata
from gateway.store.usage import UsageStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "gateway.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A migrated and empty database of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('path')}"
        migrated(url)
        return url
    server: RunningPostgres = request.getfixturevalue("postgres")
    if server.shared is None or not asyncio.run(_emptied(server.shared)):
        server.shared = server.migrated_database()
    return server.shared


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await Database.open(url)
    yield opened
    await opened.close()


@pytest.fixture
async def other_database(url: str) -> AsyncIterator[Database]:
    """The same database as another replica opens it."""
    opened = await Database.open(url)
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> UsageStore:
    return UsageStore(database)


async def _emptied(url: str) -> bool:
    """Empty a database that an earlier test has used; False where that test has left another schema."""
    database = await Database.open(url)
    try:
        async with database.engine.begin() as connection:
            await connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)}"))
        return await database.is_current()
    except SQLAlchemyError:
        return False
    finally:
        await database.close()
