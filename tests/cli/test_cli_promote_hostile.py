"""Promoting what no terminal should be told, by a file that others watch over: nothing is repeated, nothing is lost."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Ran, Run
from migrated_database import migrated

OLD = "ft:gpt-4o-mini-2024-07-18:acme:forum:A1"
NEW = "ft:gpt-4.1-mini-2025-04-14:acme:forum:B2"
ESCAPE = "\x1b]0;owned\x07"
ROUTES = f"""\
version: 1
providers:
  here: {{ kind: sandbox, base_url: "http://127.0.0.1:9/v1" }}
  there: {{ kind: sandbox, base_url: "http://127.0.0.1:9/v1" }}
fallbacks: {{ luna: {{ provider: here, model: gpt-6-luna }} }}
defaults: {{ provider: here, fallbacks: [luna] }}
routes: {{ reply: "{OLD}" }}
"""
Promote = Callable[..., Ran]


@pytest.fixture
def promote(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Promote:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/gateway.db"
    migrated(url)
    Path("routes.yaml").write_text(ROUTES)
    return lambda *arguments: run("promote", "reply", *arguments, "--database", url)


@pytest.mark.parametrize(
    ("option", "name"),
    [
        pytest.param("--model", f"red{ESCAPE}", id="a terminal's title is set"),
        pytest.param("--model", "two\nlines", id="a line of its own"),
        pytest.param("--model", "x\u202ey", id="what turns the direction of writing"),
        pytest.param("--model", "bad\udcff", id="no character at all"),
        pytest.param("--model", " ", id="a space"),
        pytest.param("--model", "x" * 301, id="longer than routes.yaml takes"),
        pytest.param("--base", f"red{ESCAPE}", id="a base that sets a terminal's title"),
    ],
)
def test_what_routes_yaml_could_not_name_becomes_no_version(promote: Promote, option: str, name: str) -> None:
    refused = promote(option, name, *(("--model", NEW) if option == "--base" else ()))
    assert refused.code == 1
    assert "id: 300 bytes at most" in refused.err
    assert all(line.isprintable() for line in refused.err.splitlines())
    assert NEW not in promote("--status").out


def test_what_others_have_kept_and_written_reaches_no_terminal_as_it_is(promote: Promote) -> None:
    """A version of a provider's own naming, and a primary that somebody wrote into routes.yaml."""
    promote("--model", NEW)
    with sqlite3.connect("gateway.db") as connection:
        connection.execute("UPDATE versions SET model = ? WHERE number = 2", (f"next{ESCAPE}",))
    connection.close()
    Path("routes.yaml").write_text(ROUTES.replace(OLD, "old\\e]0;owned\\a"))
    for arguments in (("--status",), ("v2",), ("v2", "--now", "--unseen"), ("v2", "--canary", "5%"), ("v9",)):
        ran = promote(*arguments)
        assert all(line.isprintable() for line in (ran.out + ran.err).splitlines()), arguments
    assert "next\\x1b]0;owned\\x07" in promote("--status").out


def test_status_says_where_this_configuration_cannot_follow(promote: Promote) -> None:
    assert promote("--model", NEW, "--on", "there", "--now", "--unseen").code == 0
    assert "cannot" not in promote("--status").out
    Path("routes.yaml").write_text("\n".join(line for line in ROUTES.splitlines() if "  there:" not in line))
    said = promote("--status").out
    assert "by this routes.yaml it cannot: there is no provider of this configuration; v1, which routes.yaml" in said


def test_a_file_that_is_written_is_not_said_to_be_unwritten_where_the_audit_fails(promote: Promote) -> None:
    promote("--model", NEW)
    with sqlite3.connect("gateway.db") as connection:
        connection.execute("DROP TABLE audit")
    connection.close()
    done = promote("v2", "--apply", "--unseen")
    assert (done.code, NEW in Path("routes.yaml").read_text()) == (0, True)
    assert "the file is written, but not who wrote it" in done.err
