"""What docs say in tables is what the code does."""

import re
from pathlib import Path

from gateway.execution.endpoints import ENDPOINTS

DOCS = Path(__file__).parent.parent / "docs"


def test_every_endpoint_is_in_its_table_under_the_ledgers_name() -> None:
    rows = re.findall(r"^\| `POST /v1(/\S+)` \| `(\w+)` \|", (DOCS / "endpoints.md").read_text(), re.MULTILINE)
    assert rows == [(endpoint.path, endpoint.name) for endpoint in ENDPOINTS]
