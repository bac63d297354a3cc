"""What the rigs of killed gateways rely on."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where the machine has one.

    A process that is killed in the middle of a sync keeps its sockets until the disk is done, and a provider goes on
    writing into them: on a slow disk, more than any estimate allows for. What the disk keeps is another rig's matter.
    """
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="understudy-rig-", dir=MEMORY, ignore_cleanup_errors=True) as directory:
        yield Path(directory)
