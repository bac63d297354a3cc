"""The table of what models take, as it ships."""

import re
from datetime import date
from pathlib import Path

from gateway.config.vendors import VENDORS
from gateway.policy.traits import WORDS
from gateway.providers.capability_table import read_table

DOC = Path(__file__).parents[2] / "docs" / "adaptation.md"


def test_every_row_says_who_says_so_of_whom_in_known_words() -> None:
    table = read_table()
    assert table.rows
    for row in table.rows:
        assert row.source
        assert row.read is not None
        assert row.read <= table.dated <= date.max
        assert set(row.kinds) <= VENDORS.keys()
        assert {*row.lacks, *row.when} <= WORDS, row.source
        assert not {*row.lacks} & {*row.drops}, row.source


def test_each_word_that_a_row_uses_is_explained() -> None:
    explained = set(re.findall(r"`(\w+)`", DOC.read_text()))
    lacked = {word for row in read_table().rows for word in row.lacks}
    assert lacked <= explained, sorted(lacked - explained)
