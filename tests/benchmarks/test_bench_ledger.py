import json
import sqlite3
from contextlib import closing

import pytest

from benchmarks import ledger_queries
from benchmarks.ledger import arguments
from benchmarks.ledger_databases import Sqlite
from benchmarks.ledger_generated import generate
from benchmarks.ledger_journal import measure
from benchmarks.ledger_rows import rows


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Sqlite:
    store = Sqlite(tmp_path_factory.mktemp("ledger") / "ledger.db")
    with store.undurable():
        generate(store, 400, lambda _: None, days=2)
    return store


def test_a_generated_ledger_s_hours_are_its_rows_added_up(generated):
    with closing(sqlite3.connect(generated.url.partition("///")[2])) as connection:
        (rows_,) = connection.execute("SELECT count(*), sum(cost_nanousd), count(DISTINCT attempt_id) FROM attempts")
        (hours,) = connection.execute("SELECT sum(attempts), sum(cost_nanousd) FROM usage_hours")
        (days,) = connection.execute("SELECT sum(attempts), sum(cost_nanousd) FROM usage_days")
        (keys,) = connection.execute("SELECT sum(attempts) FROM usage_labels WHERE dimension = 'key'")
    assert rows_ == (400, hours[1], 400)
    assert hours == days
    assert hours[0] == keys[0] == 400


def test_every_question_is_asked_of_it(generated):
    figures = ledger_queries.measure(generated, 1, lambda _: None)
    assert len(figures) > 10
    assert all(taken["p95_ms"] >= taken["best_ms"] > 0 for taken in figures.values())


def test_the_journal_s_figures_are_whole_and_can_be_written_down(tmp_path):
    figures = measure(tmp_path, 40)
    json.dumps(figures)
    assert figures["fast"]["bytes_per_request"] > 500
    for mode in figures.values():
        assert 0 < mode["cpu_p50_us"] <= mode["cpu_p99_us"]
        assert 0 < mode["wall_p50_us"] <= mode["wall_p99_us"]
    assert list(tmp_path.glob("*/*")) == [], "a measured journal is removed"


def test_rows_are_the_same_for_the_same_seed_and_other_attempts_each_time():
    first, again, other = rows(20), rows(20), rows(20, seed=1)
    assert [row[1:] for row in first] == [row[1:] for row in again] != [row[1:] for row in other]
    assert not {row.attempt_id for row in first} & {row.attempt_id for row in again}


def test_quick_is_small():
    assert arguments(["--quick"]).rows < arguments([]).rows
