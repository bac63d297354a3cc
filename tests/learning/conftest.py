"""A migrated database for what is captured."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.captured import CapturedStore
from gateway.store.database import Database
from gateway.store.migrate import migrate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "state" / "gateway.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{path}")
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> CapturedStore:
    return CapturedStore(database)
