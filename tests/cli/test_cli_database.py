import sqlite3
from pathlib import Path

import pytest
from command_line import Run


def test_a_database_is_made_and_migrated_and_nothing_is_done_twice(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "new" / "ledger.db"
    for _ in range(2):
        ran = run("migrate", "--database", f"sqlite:///{path}")
        assert (ran.code, ran.out) == (0, f"{path} is at this version's schema\n")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM attempts").fetchone() == (0,)
    connection.close()


def test_the_database_may_be_named_by_a_variable(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path}/ledger.db")
    assert run("migrate").code == 0
    assert (tmp_path / "ledger.db").exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("mysql://user:s3cret@host/db", "sqlite or postgresql", id="a database that we do not know"),
        pytest.param("s3cret", "no database URL", id="no URL"),
        pytest.param("sqlite://", "names no file", id="SQLite in memory"),
        pytest.param("postgresql://user:s3cret@127.0.0.1:1/db", "127.0.0.1:1", id="a server that is not there"),
        pytest.param("sqlite:////dev/null/ledger.db", "/dev/null", id="a place where no file can be"),
    ],
)
def test_what_cannot_be_migrated_ends_with_1_and_one_line(url: str, says: str, run: Run) -> None:
    ran = run("migrate", "--database", url)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("cannot migrate: ")
    assert says in ran.err
    assert ran.err.count("\n") == 1
    assert "s3cret" not in ran.err
