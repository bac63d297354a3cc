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


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("ledger.db", id="a plain name"),
        pytest.param("a b?c#d%20e.db", id="what a URL would read otherwise"),
        pytest.param("ledger", id="no suffix"),
    ],
)
def test_a_database_may_be_named_by_its_path(
    name: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.touch()
    ran = run("migrate", "--database", path)
    assert (ran.code, ran.out) == (0, f"{path} is at this version's schema\n")
    monkeypatch.chdir(tmp_path)
    shown = run("lifecycle", "events", "--database", name)
    assert (shown.code, shown.err) == (0, "nothing has happened yet\n")
    assert sorted(one.name for one in tmp_path.iterdir()) == [name], "nothing is made beside it"


@pytest.mark.parametrize("command", ["migrate", "lifecycle events", "keys list", "tune --status reply"])
@pytest.mark.parametrize(
    ("place", "says"),
    [
        pytest.param("state/gone.db", "there is no file state/gone.db", id="a file that is not there"),
        pytest.param("s3cret", "no database URL, and no file", id="a word, which may be a password"),
        pytest.param("postgresql:/me:s3cret@host/x.db", "no database URL, and no file", id="a URL with a slip"),
    ],
)
def test_a_path_that_is_none_ends_with_1_and_makes_no_file(
    place: str, says: str, command: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").write_text(
        'version: 1\nproviders: {here: {kind: vllm, base_url: "http://127.0.0.1:1/v1"}}\n'
        "defaults: {provider: here}\nroutes: {reply: m}\n"
    )
    ran = run(*command.split(), "--database", place)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("--database: ") and says in ran.err
    assert "s3cret" not in ran.err
    assert [one.name for one in tmp_path.iterdir()] == ["routes.yaml"]
