"""What docs/datasets.md says of formats is what the code does."""

import re
from pathlib import Path

from gateway.learning.datasets.building import FLOOR, START
from gateway.learning.datasets.formats import FORMATS
from gateway.learning.datasets.rows import FEWEST_THAT_SHARE
from gateway.policy.leaks import TELLING
from gateway.policy.splits import EVALUATION_SHARE

TEXT = (Path(__file__).parent.parent / "docs" / "datasets.md").read_text(encoding="utf-8")


def test_every_format_is_in_the_table_with_its_trainer_and_how_many_rows_it_takes() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| ([\d,]+) (?:or more|to ([\d,]+)) \|", TEXT, re.MULTILINE)
    most = {name: f"{form.most_rows:,}" if form.most_rows else "" for name, form in FORMATS.items()}
    assert rows == [(name, form.trainer, f"{form.fewest_rows:,}", most[name]) for name, form in FORMATS.items()]


def test_its_figures_are_those_of_the_code() -> None:
    assert f"Below {FLOOR} training rows" in TEXT and f"{START} are a start" in TEXT
    assert f"shorter than\n{TELLING} characters" in TEXT
    assert EVALUATION_SHARE == 0.2 and "A fifth of the conversations" in TEXT
    assert FEWEST_THAT_SHARE == 3 and "at least three training rows share" in TEXT
