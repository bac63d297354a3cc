import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.database import Database
from gateway.store.migrate import migrate
from gateway.store.usage import UsageStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "gateway.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrate, f"sqlite:///{path}")
    opened = await Database.open(f"sqlite:///{path}")
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> UsageStore:
    return UsageStore(database)
