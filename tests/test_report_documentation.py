"""What docs/report.md shows of routes.yaml loads, and its tables have the words of the code."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from example_routes import a_route

from gateway.cli.report import DIMENSIONS
from gateway.cli.report_json import as_object
from gateway.config.loader import load
from gateway.learning.report_reading import Read, Wanted
from gateway.lifecycle.report import report
from gateway.lifecycle.report_figures import Period
from gateway.policy.economics import LEAST_REQUESTS, Answer, Basis, InTime
from gateway.policy.usage import Used

TEXT = (Path(__file__).parent.parent / "docs" / "report.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    rows = TEXT.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)`", rows, re.MULTILINE)


@pytest.mark.parametrize(
    ("heading", "words"), [("`basis`", Basis), ("`answer`", Answer)], ids=["what it rests on", "answers"]
)
def test_every_word_of_break_even_is_in_its_table(heading: str, words: Iterable[str]) -> None:
    assert first_cells(heading) == sorted(map(str, words), key=first_cells(heading).index)


def test_the_other_words_are_there() -> None:
    assert {word for word in InTime if f"`{word}`" not in TEXT} == set()
    assert {word for word in DIMENSIONS if f"--by {word}" not in TEXT and f" {word}" not in TEXT} == set()
    assert f"Fewer than {LEAST_REQUESTS} requests" in TEXT


def test_every_key_of_the_object_is_described() -> None:
    period = Period(*(datetime(2026, 11, 29, hour, tzinfo=UTC) for hour in (1, 2, 3)))
    made = report(Used((), {}, is_cut=False), period)
    found = as_object(Read(made), Wanted((), period, None, break_even=False))
    assert [key for key in found if f"`{key}`" not in TEXT] == []
    assert [key for key in found["totals"] if f"`{key}`" not in TEXT] == []


def test_what_is_shown_of_routes_yaml_loads(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    routes: dict[str, Any] = {
        "version": 1,
        "providers": {"sandbox": {"kind": "sandbox", "base_url": "http://127.0.0.1:8081/v1"}},
        "routes": {a_route().name: {"provider": "sandbox", "primary": "ft:x", **yaml.safe_load(snippet)}},
    }
    path = tmp_path / "routes.yaml"
    path.write_text(yaml.safe_dump(routes))
    training = load(path, environ={}).routes.routes[a_route().name].training
    assert training is not None
    assert (training.cost_usd, training.labelling_usd) == (Decimal("38.20"), Decimal(120))
