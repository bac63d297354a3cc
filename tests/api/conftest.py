"""What tests of the API share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from migrated_database import migrated

from tests.api.keyed_gateway import Keyed, running


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
async def keyed(tmp_path: Path, empty_ledger: Path) -> AsyncIterator[Keyed]:
    """A gateway with a pepper, and its administrator."""
    async with running(tmp_path, empty_ledger) as keyed:
        yield keyed
