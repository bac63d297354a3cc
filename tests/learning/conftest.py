"""A migrated database for what is captured."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from migrated_database import migrated

from gateway.store.captured import CapturedStore
from gateway.store.database import Database


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("learnt") / "empty.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def path(tmp_path: Path, empty_database: Path) -> Path:
    file = tmp_path / "state" / "gateway.db"
    file.parent.mkdir(mode=0o700)
    shutil.copy(empty_database, file)
    return file


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{path}")
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> CapturedStore:
    return CapturedStore(database)
