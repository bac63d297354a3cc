"""The long form of the journal's damage tests: a hundred records, cut off and changed at every byte."""

from pathlib import Path

import pytest

from tests.ledger.journal_material import flipped_everywhere, mixed_records, truncated_everywhere

pytestmark = pytest.mark.rig


def test_a_hundred_records_cut_off_at_every_byte(tmp_path: Path) -> None:
    truncated_everywhere(tmp_path / "journal", mixed_records(100))


def test_a_hundred_records_with_each_byte_changed_by_one_bit(tmp_path: Path) -> None:
    flipped_everywhere(tmp_path / "journal", mixed_records(100), lambda at: 1 << at % 8)
