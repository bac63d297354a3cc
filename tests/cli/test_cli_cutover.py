"""Moving a route by hand, seeing it as a difference from routes.yaml, and reading what happened."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import Run
from migrated_database import migrated

from gateway.reasons import Availability, EventKind, Reason
from gateway.store.database import Database
from gateway.store.states import StateStore
from tests.store.events import an_event

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROUTES = """
version: 1
providers: {sandbox: {kind: sandbox}}
fallbacks: {luna: {provider: sandbox, model: gpt-6-luna}}
defaults: {provider: sandbox, fallbacks: [luna]}
routes: {forum-reply: "ft:gpt-4o-mini-2024-07-18:acme:forum:A1"}
"""
KEY = ("sandbox", "ft:gpt-4o-mini-2024-07-18:acme:forum:A1")


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    return path


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite+aiosqlite:///{tmp_path}/gateway.db"
    migrated(url)
    return url


def command(run: Run, routes: Path, database: str, *more: str, to: str = "luna", reason: str = "a trial") -> object:
    return run(
        "cutover", "forum-reply", "--to", to, "--reason", reason, "--routes", routes, "--database", database, *more
    )


def test_a_route_is_moved_and_shows_it_everywhere(run: Run, routes: Path, database: str) -> None:
    done = run(
        *("cutover", "forum-reply", "--to", "luna", "--reason", "a trial", "--for", "24h", "--by", "kim"),
        *("--routes", routes, "--database", database),
    )
    assert done.code == 0, done.err
    assert "forum-reply goes to luna until " in done.out
    explained = run("explain", "--route", "forum-reply", "--routes", routes, "--database", database)
    assert "held by kim" in explained.out
    assert "ask fallback gpt-6-luna" in explained.out
    assert "(because: commanded)" in explained.out
    as_json = run("explain", "--route", "forum-reply", "--routes", routes, "--database", database, "--json").json
    assert as_json["command"]["by"] == "kim"
    assert as_json["steps"][0]["reason"] == "commanded"
    shown = run("config", "show", "forum-reply", "--routes", routes, "--database", database)
    first = shown.out.splitlines()[0].split()
    assert (first[0], first[-1]) == ("commanded", '"luna"')


def test_without_an_end_it_holds_until_auto(run: Run, routes: Path, database: str) -> None:
    assert "until you say --to auto" in command(run, routes, database).out
    assert "follows its rules again" in command(run, routes, database, to="auto").out
    assert "followed its rules already" in command(run, routes, database, to="auto").out
    assert "commanded" not in run("explain", "--route", "forum-reply", "--routes", routes, "--database", database).out


def test_who_moved_a_route_and_who_gave_it_back_is_kept(run: Run, routes: Path, database: str) -> None:
    command(run, routes, database, "--by", "kim")
    command(run, routes, database, "--by", "lee", to="auto", reason="it was only a trial")
    command(run, routes, database, "--by", "lee", to="auto", reason="once more")
    kept = run("keys", "audit", "forum-reply", "--database", database)
    moved, given_back = kept.out.splitlines()
    assert "route_moved       forum-reply  by kim (cli)  target: luna; reason: a trial" in moved
    assert "by lee (cli)  target: luna → none; reason: a trial → it was only a trial" in given_back
    rows = run("keys", "audit", "--json", "--database", database).json["changes"]
    assert [row["action"] for row in rows] == ["route_given_back", "route_moved"]


@pytest.mark.parametrize(
    ("to", "reason", "more", "says"),
    [
        pytest.param("lune", "why", (), "it has primary, luna; or write auto", id="a target that is none"),
        pytest.param("luna", " ", (), "say why", id="no reason"),
        pytest.param("luna", "why", ("--for", "soon"), "write 30m, 24h or 7d", id="a duration that is none"),
        pytest.param("luna", "why", ("--for", "0h"), "is no duration", id="no time at all"),
        pytest.param("auto", "why", ("--for", "1h"), "auto has no end", id="an end of what has none"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(
    to: str, reason: str, more: tuple[str, ...], says: str, run: Run, routes: Path, database: str
) -> None:
    done = command(run, routes, database, *more, to=to, reason=reason)
    assert done.code in (1, 2)
    assert says in done.err


def test_a_database_that_no_gateway_has_used_takes_no_command(run: Run, routes: Path, tmp_path: Path) -> None:
    done = command(run, routes, f"sqlite:///{tmp_path}/nothing.db")
    assert done.code == 1
    assert "--database" in done.err
    assert not (tmp_path / "nothing.db").exists()


async def keep(database: str, *, gone: bool = False, events: int = 0) -> None:
    opened = await Database.open(database)
    try:
        store = StateStore(opened, "replica-1")
        if gone:
            assert await store.move_target(KEY, Availability.GONE, version=0, now=NOW)
        for number in range(events):
            kind = EventKind.RETURN if number % 2 else EventKind.CUTOVER
            at = NOW + timedelta(minutes=number)
            await store.record(
                [an_event(kind, at, reason=Reason.GONE, route=f"route-{number}", text=f"event {number}")]
            )
    finally:
        await opened.close()


def test_explain_knows_what_was_found_to_be_gone_but_not_for_days_to_come(
    run: Run, routes: Path, database: str
) -> None:
    asyncio.run(keep(database, gone=True))
    options = ("explain", "--route", "forum-reply", "--routes", routes, "--database", database, "--json")
    assert run(*options).json["steps"][0]["reason"] == "gone"
    assert run(*options, "--at", "2026-12-01").json["steps"][0]["reason"] == "primary"


def test_events_are_listed_with_the_latest_last(run: Run, database: str) -> None:
    asyncio.run(keep(database, events=5))
    lines = run("lifecycle", "events", "--database", database, "--last", "3").out.splitlines()
    assert [line.split("  ")[-1].strip() for line in lines] == ["event 2", "event 3", "event 4"]
    assert lines[0].startswith("2026-11-23 12:02:00 UTC  cutover")
    of_one = run("lifecycle", "events", "--database", database, "--route", "route-1", "--json").json
    assert [(row["kind"], row["reason"]) for row in of_one] == [("return", "gone")]


def test_no_events_is_said(run: Run, database: str) -> None:
    done = run("lifecycle", "events", "--database", database)
    assert (done.code, done.out) == (0, "")
    assert "nothing has happened yet" in done.err
