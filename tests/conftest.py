"""What every test may rely on: the test support modules beside this file can be imported by name."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

RIG = b"\npytestmark = pytest.mark.rig\n"

if TYPE_CHECKING:
    from postgres_server import RunningPostgres


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than there are processors: a quarter of the time tests wait for a process or a deadline."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage among what collection makes, then or later: most of it lives until the end.

    It is a quarter of collection's time, in every worker. What tests leave is looked at whole less often than is usual.
    """
    gc.set_threshold(*gc.get_threshold()[:2], 50)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no rig, nor what only rigs import, where none is to run."""
    is_module = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    if is_module and "not rig" in config.getoption("markexpr") and RIG in collection_path.read_bytes():
        return True
    return None


@pytest.fixture(scope="session")
def postgres() -> Iterator["RunningPostgres"]:
    """One server for all tests that do not stop it."""
    from postgres_server import running_postgres

    with running_postgres() as server:
        yield server
