import pytest

from gateway.ledger.entry import Entry
from tests.store.rows import an_entry


@pytest.fixture
def entry() -> Entry:
    return an_entry()
