import sys
from pathlib import Path

import pytest
from migrated_database import migrated

# The gateway that fault stories serve in the test's own loop is what these stories talk to, rigs' clients among them.
sys.path.extend(str(Path(__file__).parent.parent / neighbour) for neighbour in ("faults", "rigs"))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy."""
    path = tmp_path_factory.mktemp("state") / "empty.db"
    migrated(f"sqlite:///{path}")
    return path
