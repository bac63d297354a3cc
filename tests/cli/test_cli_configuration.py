import asyncio
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from migrated_database import migrated

from gateway.policy.lifecycle import Dates, Origin, Published
from gateway.store.database import Database
from gateway.store.published import PublishedStore

PRIMARY = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
ROUTES = f"""\
version: 1
providers:
  acme: {{kind: openai, api_key_env: NOBODY_SETS_THIS}}
  campus: {{kind: vllm, base_url: "http://vllm.internal:8000/v1"}}
fallbacks:
  base: {{provider: campus, model: m1}}
defaults: {{provider: acme, fallbacks: [base]}}
routes:
  forum-reply: {PRIMARY}
  tone-rewrite: {{primary: null}}
  alone: {{primary: "{PRIMARY}", fallbacks: []}}
"""
BROKEN = ROUTES.replace("fallbacks: [base]", "fallbacks: [bace]").replace("model: m1", "modell: m1")
# No source knows a date of it.
UNDATED = ROUTES.replace("kind: openai", "kind: together")
WARNING = "NOBODY_SETS_THIS"


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NOBODY_SETS_THIS", raising=False)
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    return path


# check


def test_the_repositorys_own_configuration_is_well(run: Run) -> None:
    ran = run("check", "routes.yaml")
    assert (ran.code, ran.out, ran.err) == (0, "routes.yaml: 4 routes, 0 warnings; it can be served\n", "")


def test_a_secret_that_is_not_set_is_a_warning(routes: Path, run: Run) -> None:
    routes.write_text(UNDATED)
    ran = run("check", routes)
    assert ran.code == 0
    assert ran.out.startswith("routes.yaml:3: warning: ")
    assert WARNING in ran.out
    assert ran.out.endswith("3 routes, 2 warnings; it can be served\n")


def test_with_strict_a_warning_is_enough_to_fail(routes: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("check", routes, "--strict").code == 1
    monkeypatch.setenv("NOBODY_SETS_THIS", "sk-1")
    routes.write_text(UNDATED.replace(", fallbacks: []", ""))
    assert run("check", routes, "--strict").code == 0


_ROUTE = "  forum-reply:\n    primary: ft-1\n    owner: forum\n"


@pytest.mark.parametrize(
    ("written", "line"),
    [
        pytest.param("  forum-reply:\n    owner: forum\n  primary: ft-1\n", 9, id="its key slipped to the left"),
        pytest.param("  forum-reply:\n    cutover: {days_before: 14}\n    owner: forum\n", 9, id="its line is gone"),
        pytest.param("  forum-reply: {}\n", 9, id="nothing is written of it"),
        pytest.param("  a: ft-1\n  forum-reply:\n    owner: forum\n", 10, id="another route has one"),
        pytest.param(_ROUTE.replace("ft-1", "null"), None, id="it is meant"),
        pytest.param(_ROUTE, None, id="it has one"),
        pytest.param("  forum-reply: ft-1\n", None, id="it has one in a word"),
        pytest.param(
            "  forum-reply:\n    variant_by: tenant\n    variants: {acme: ft-1}\n", None, id="its variants have one"
        ),
    ],
)
def test_a_route_that_lost_its_primary_is_warned_of(written: str, line: int | None, routes: Path, run: Run) -> None:
    routes.write_text(UNDATED[: UNDATED.index("  forum-reply")] + written)
    ran = run("check", routes)
    lost = [one for one in ran.out.splitlines() if "names no primary" in one]
    said = f"routes.yaml:{line}: warning: routes.forum-reply names no primary, so its fallbacks answer everything"
    assert (ran.code, [one.partition(";")[0] for one in lost]) == (0, [said] if line else [])
    assert all(one.endswith("; where that is meant, write `primary: null`") for one in lost)


def test_a_variant_that_lost_its_primary_is_warned_of_as_well(routes: Path, run: Run) -> None:
    variants = "{acme: ft-1, globex: {owner: them}, initech: {primary: null}}"
    written = f"  forum-reply: {{variant_by: tenant, variants: {variants}}}\n"
    routes.write_text(UNDATED[: UNDATED.index("  forum-reply")] + written)
    lost = [one for one in run("check", routes).out.splitlines() if "names no primary" in one]
    assert [one.partition(" names")[0] for one in lost] == ["routes.yaml:9: warning: routes.forum-reply:globex"]


def test_dates_are_warned_of_where_the_route_stands(routes: Path, run: Run) -> None:
    ran = run("check", routes)
    assert ran.code == 0
    lines = [line for line in ran.out.splitlines() if "2027-01-14" in line]
    assert [line.partition(": its primary stop")[0] for line in lines] == [
        "routes.yaml:9: warning: routes.forum-reply",
        "routes.yaml:11: warning: routes.alone",
    ]
    assert "and nobody takes over" in lines[1]
    assert "and nobody takes over" not in lines[0]
    assert ran.out.endswith("3 routes, 4 warnings; it can be served\n")


def test_a_broken_file_is_reported_line_by_line_all_at_once(routes: Path, run: Run) -> None:
    routes.write_text(BROKEN)
    ran = run("check", routes)
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["routes.yaml:6", "error"]] * len(lines) or {
        line.split(": ")[0] for line in lines
    } == {"routes.yaml:6", "routes.yaml:7"}
    assert "did you mean 'model'" in ran.out
    assert "\x1b" not in ran.out, "no colours for a pipe"
    assert "can be served" not in ran.out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"version: 1\nroutes: {a: [", ":", id="half a file"),
        pytest.param(b"\xff\xfe\x00", ":", id="no text"),
        pytest.param(b"a: &a [1]\nb: *a\n", ":", id="aliases"),
        pytest.param(b"[" * 5000, ":", id="absurdly deep"),
    ],
)
def test_a_file_that_is_no_configuration(content: bytes, says: str, routes: Path, run: Run) -> None:
    routes.write_bytes(content)
    ran = run("check", routes)
    assert ran.code == 1
    assert "routes.yaml:" in ran.out
    assert says in ran.out
    assert "Traceback" not in ran.err


def test_a_file_that_is_not_there(tmp_path: Path, run: Run) -> None:
    ran = run("check", tmp_path / "nowhere.yaml")
    assert ran.code == 1
    assert ran.out.startswith("nowhere.yaml:1: error: ")


def test_findings_as_json(routes: Path, run: Run) -> None:
    routes.write_text(UNDATED)
    ran = run("check", routes, "--json")
    assert ran.code == 0
    finding, _ = ran.json["findings"]
    assert ran.json["ok"] is True
    assert WARNING in finding.pop("message")
    assert finding == {"file": "routes.yaml", "line": 3, "severity": "warning"}
    assert run("check", routes, "--json", "--strict").json["ok"] is False
    routes.write_text(BROKEN)
    broken = run("check", routes, "--json")
    assert broken.code == 1
    assert broken.json["ok"] is False
    assert {finding["severity"] for finding in broken.json["findings"]} == {"error"}


def test_the_file_may_be_named_by_a_variable(routes: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ROUTES_FILE", str(routes))
    assert "3 routes" in run("check").out
    assert run("explain", "--route", "alone").code == 0
    assert run("config", "show", "alone").code == 0


def test_one_of_each_is_counted_as_one(routes: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    routes.write_text(
        UNDATED.replace("  tone-rewrite: {primary: null}\n", "").replace(
            f'  alone: {{primary: "{PRIMARY}", fallbacks: []}}\n', ""
        )
    )
    assert run("check", routes).out.endswith("routes.yaml: 1 route, 1 warning; it can be served\n")


def test_what_a_gateway_kept_of_its_providers_answers_is_warned_of(
    routes: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/kept.db"
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)
    assert "provider says" not in run("check", routes).out

    async def keep() -> None:
        database = await Database.open(url)
        dates = Dates(shutdown=date(2027, 1, 10), source="its API", origin=Origin.PROVIDER)
        await PublishedStore(database).replace("acme", (Published(PRIMARY, dates),), datetime.now(UTC))
        await database.close()

    migrated(url)
    asyncio.run(keep())
    out = run("check", routes).out
    assert re.search(r"routes.forum-reply: its primary stop(s|ped) on 2027-01-10", out)
    assert "routes.forum-reply: its primary stops 2027-01-10, but curated says 2027-01-14" in out


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:///broken.db", "mysql://h/d", "postgresql://127.0.0.1:1/none"])
def test_a_database_that_cannot_be_read_is_no_warning(
    url: str, routes: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
    before = run("check", routes)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)
    assert run("check", routes) == before


# config show


def test_every_value_is_shown_with_its_line(routes: Path, run: Run) -> None:
    ran = run("config", "show", "forum-reply", "--routes", routes)
    assert ran.code == 0
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in ran.out.splitlines()}
    assert rows["primary.model"] == ["routes.yaml:9", f'"{PRIMARY}"']
    assert rows["fallbacks.base.model"] == ["routes.yaml:6", '"m1"']
    assert rows["cutover.at"] == ["default", '"shutdown"']


def test_every_value_as_json(routes: Path, run: Run) -> None:
    rows = run("config", "show", "forum-reply", "--routes", routes, "--json").json
    assert {tuple(row) for row in rows} == {("path", "value", "origin")}
    assert {"path": "fallbacks", "value": ["base"], "origin": "routes.yaml:7"} in rows


def test_a_route_that_is_not_there(routes: Path, run: Run) -> None:
    ran = run("config", "show", "forum-replay", "--routes", routes)
    assert ran.code == 1
    assert "forum-reply" in ran.err
    assert "Traceback" not in ran.err


def test_a_broken_file_shows_nothing(routes: Path, run: Run) -> None:
    routes.write_text(BROKEN)
    ran = run("config", "show", "forum-reply", "--routes", routes)
    assert (ran.code, ran.out) == (1, "")
    assert "routes.yaml:" in ran.err


# explain


def explained(run: Run, routes: Path, route: str, at: str) -> tuple[list[tuple[str, Any]], list[tuple[str, str]]]:
    plan = run("explain", "--route", route, "--at", at, "--routes", routes, "--json").json
    steps = [(step["target"], step["reason"]) for step in plan["steps"]]
    return steps, [(entry["target"], entry["reason"]) for entry in plan["skipped"]]


@pytest.mark.parametrize(
    ("route", "at", "steps", "skipped"),
    [
        pytest.param("forum-reply", "2026-11-23", [("primary", "primary"), ("base", None)], [], id="today"),
        pytest.param(
            "forum-reply", "2027-01-13T23:59", [("primary", "primary"), ("base", None)], [], id="the minute before"
        ),
        pytest.param(
            "forum-reply", "2027-01-14", [("base", "shutdown_reached")], [("primary", "shutdown_reached")], id="the day"
        ),
        pytest.param(
            "forum-reply",
            "2027-01-14T01:00+02:00",
            [("primary", "primary"), ("base", None)],
            [],
            id="the day, but not yet in UTC",
        ),
        pytest.param("alone", "2027-01-14", [("primary", "primary")], [], id="the day, and nobody else to ask"),
        pytest.param("tone-rewrite", "2026-11-23", [("base", "no_primary")], [], id="not trained yet"),
    ],
)
def test_the_plan_of_a_day(
    route: str, at: str, steps: list[tuple[str, Any]], skipped: list[tuple[str, str]], routes: Path, run: Run
) -> None:
    assert explained(run, routes, route, at) == (steps, skipped)


def test_a_plan_as_json_is_whole(routes: Path, run: Run) -> None:
    plan = run("explain", "--route", "forum-reply", "--at", "2027-01-14", "--routes", routes, "--json").json
    assert (plan["route"], plan["at"]) == ("forum-reply", "2027-01-14T00:00:00+00:00")
    assert plan["steps"] == [
        {
            "target": "base",
            "served_by": "fallback",
            "provider": "campus",
            "model": "m1",
            "shutdown": None,
            "source": None,
            "reason": "shutdown_reached",
            "timeout_s": 600.0,
        }
    ]
    (passed_over,) = plan["skipped"]
    assert passed_over.pop("source")
    assert passed_over == {
        "target": "primary",
        "served_by": "primary",
        "provider": "acme",
        "model": PRIMARY,
        "shutdown": "2027-01-14",
        "reason": "shutdown_reached",
        "detail": None,
    }


def test_a_plan_for_people(routes: Path, run: Run) -> None:
    ran = run("explain", "--route", "forum-reply", "--at", "2027-01-14", "--routes", routes)
    assert ran.out.splitlines() == [
        "forum-reply on 2027-01-14 00:00 UTC",
        "  1. ask fallback m1 at campus (because: shutdown_reached)",
        f"  -  not primary {PRIMARY} at acme, stops 2027-01-14 (shutdown_reached)",
    ]
    assert ran.err == ""


def test_without_a_day_it_is_now(routes: Path, run: Run) -> None:
    assert run("explain", "--route", "tone-rewrite", "--routes", routes).code == 0


@pytest.mark.parametrize("at", ["tomorrow", "2027-02-30", "14.01.2027", ""])
def test_a_day_that_is_none_is_a_misuse(at: str, routes: Path, run: Run) -> None:
    ran = run("explain", "--route", "forum-reply", "--at", at, "--routes", routes)
    assert ran.code == 2
    assert "2027-01-14" in ran.err


def test_a_route_that_is_not_there_names_those_that_are(routes: Path, run: Run) -> None:
    ran = run("explain", "--route", "nothing", "--routes", routes)
    assert ran.code == 1
    assert "forum-reply, tone-rewrite, alone" in ran.err
