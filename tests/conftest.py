"""What every test may rely on: the test support modules beside this file can be imported by name."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

LONGEST = frozenset(
    ("test_cli_promote.py", "test_cli_serve.py", "test_cli_tune.py", "test_cli_recorded.py", "test_litellm_worker.py")
)

if TYPE_CHECKING:
    from postgres_server import RunningPostgres


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than there are processors: a quarter of the time tests wait for a process or a deadline."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: a worker that gets one last works on while the others have ended."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def postgres() -> Iterator["RunningPostgres"]:
    """One server for all tests that do not stop it."""
    from postgres_server import running_postgres

    with running_postgres() as server:
        yield server
