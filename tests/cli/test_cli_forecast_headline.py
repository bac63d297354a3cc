import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import forty_routes
import pytest
from command_line import Run
from migrated_database import migrated

from gateway.cli import forecast_text
from gateway.cli.forecast import foresee
from gateway.cli.timeline import page
from gateway.lifecycle.draft_files import starter
from gateway.lifecycle.forecast import Forecast, Horizon
from gateway.lifecycle.forecast_headline import headline
from gateway.reasons import Availability
from gateway.store.database import Database
from gateway.store.states import StateStore

NOV_23 = datetime(2026, 11, 23, 12, tzinfo=UTC)
SHUTDOWN = datetime(2027, 1, 14, tzinfo=UTC)
FORUM_REPLY = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A00b2C3d4"
Shown = Callable[[Forecast], str]
AT_HOME = """\
version: 1
providers: {campus: {kind: vllm, base_url: "http://vllm.internal:8000/v1"}}
fallbacks: {base: {provider: campus, model: llama, prompt: {instructions: Be brief.}}}
defaults: {provider: campus, fallbacks: [base]}
routes: {forum-reply: forum-reply-lora}
"""
ALIAS = """\
version: 1
providers: {openai: {kind: openai, api_key_env: OPENAI_API_KEY}}
fallbacks: {mini: {provider: openai, model: gpt-4o-mini, prompt: {instructions: Be brief.}}}
defaults: {provider: openai, fallbacks: [mini]}
routes: {a: "ft:gpt-4.1-2025-04-14:acme::a", b: "ft:gpt-4.1-2025-04-14:acme::b"}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's default place is below the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    return forty_routes.write(tmp_path)


@pytest.fixture
def at_home(tmp_path: Path) -> Path:
    path = tmp_path / "at-home.yaml"
    path.write_text(AT_HOME)
    return path


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shown:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def show(found: Forecast) -> str:
        forecast_text.show(found)
        return capsys.readouterr().out

    return show


def seen(routes: Path, now: datetime, database: str | None = None) -> Forecast:
    return foresee(routes, Horizon.of_days(now, 90), database)


# What is bad although somebody answers


def test_an_alias_whose_snapshot_stops_reassures_nobody(tmp_path: Path, shown: Shown) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(ALIAS)
    found = seen(path, NOV_23)
    assert headline(found) == (
        "2 of 2 routes lose their primary within 90 days, all on 2027-01-14, in 52 days; somebody takes over each of "
        "them; 2 rest on an alias whose dated snapshot stops by then."
    )
    out = " ".join(shown(found).split())
    assert (
        "all 2 routes: fallback mini is the alias gpt-4o-mini; its dated snapshot gpt-4o-mini-2024-07-18 stops "
        "2027-01-14 → name the snapshot"
    ) in out


def test_a_prompt_that_init_drafted_is_one_that_nobody_has_written(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    files = tmp_path / "prompts"
    files.mkdir()
    for task, text in (("a", starter("a")), ("b", "Answer as we do.")):
        (files / f"{task}.md").write_text(f"{text}\n")
    path.write_text(
        ALIAS.replace("gpt-4o-mini", "gpt-6-luna").replace(
            "instructions: Be brief.", "instructions_file: 'prompts/{route}.md'"
        )
    )
    found = seen(path, NOV_23)
    assert headline(found).endswith(
        "somebody takes over each of them; 1 answers from a prompt that nobody has written."
    )
    by_route = {row.route.name: [finding.kind.value for finding in row.findings] for row in found.routes}
    assert by_route == {"a": ["unwritten"], "b": []}


# What was seen, beside what was said


def keep(directory: Path, *gone: str, availability: Availability = Availability.GONE) -> str:
    """Keep in a database that OpenAI's models are gone."""
    url = f"sqlite:///{directory}/states.db"
    migrated(url)

    async def write() -> None:
        database = await Database.open(url)
        for model in gone:
            await StateStore(database, "").move_target(("openai", model), availability, version=0, now=NOV_23)
        await database.close()

    asyncio.run(write())
    return url


def test_a_model_that_is_gone_before_its_day_is_counted_apart(routes: Path, tmp_path: Path, shown: Shown) -> None:
    found = seen(routes, NOV_23, database=keep(tmp_path, FORUM_REPLY))
    assert headline(found) == (
        "1 of 40 routes has lost its primary already: it is gone; 33 more follow within 90 days, all on 2027-01-14, "
        "in 52 days; 2 have nobody to take over; 1 answers from a prompt that nobody has written."
    )
    out = shown(found)
    assert "Gone already: gpt-4o-mini-2024-07-18 at openai, 1 route" in out
    assert "was to stop on 2027-01-14, in 52 days" in out
    assert re.search(r"forum-reply +support +2026-11-23 12:00 +luna", out)
    assert "stops on 2027-01-14, in 52 days: 12 routes" in out
    html = page(found, "routes.yaml")
    assert "forum-reply: gone already (since 2026-11-23); luna (gpt-6-luna) answers" in html


def test_a_fallback_that_is_gone_takes_over_nothing(routes: Path, tmp_path: Path) -> None:
    found = seen(routes, NOV_23, database=keep(tmp_path, "gpt-6-luna", availability=Availability.NO_ACCESS))
    assert len(found.nobody) == 34
    (row,) = (row for row in found.routes if row.route.name == "forum-reply")
    assert {finding.text for finding in row.findings if finding.kind == "nobody"} == {
        "primary stops 2027-01-14, and nobody takes over: luna (gpt-6-luna) is gone as well"
    }
    (home,) = (row for row in found.routes if row.route.name == "agent-hints")
    assert "fallback luna (gpt-6-luna) is closed to us (since 2026-11-23)" in {f.text for f in home.findings}


def test_a_primary_that_still_answers_is_not_nobody(routes: Path, shown: Shown) -> None:
    out = shown(seen(routes, SHUTDOWN))
    assert re.search(r"escalation-note +support +the primary, until it is gone", out)
    assert "no fallback left; the primary is called until it is gone: there is no fallback" in " ".join(out.split())
    assert "NOBODY" not in out


def test_an_empty_ledger_is_told_like_none(routes: Path, tmp_path: Path, shown: Shown) -> None:
    out = " ".join(shown(seen(routes, NOV_23, database=keep(tmp_path))).split())
    assert "Without traffic in the ledger nobody can say" in out
    assert "no traffic" not in out
    assert "input tokens" not in out


def test_the_database_that_was_looked_at_is_named_where_it_matters(routes: Path, at_home: Path, run: Run) -> None:
    undated = ALIAS.replace("gpt-4.1-2025-04-14", "gpt-9-2099-01-01").replace("gpt-4o-mini", "gpt-6-luna")
    routes.write_text(undated)
    out = " ".join(run("forecast", "--routes", routes).out.split())
    assert out.startswith("All 2 routes have no known date: nobody can say what stops within 90 days.")
    assert "no-ledger-yet.db yet: `gateway lifecycle refresh` asks openai for dates" in out
    listed = run("lifecycle", "list", "--routes", routes)
    assert "no-ledger-yet.db yet: `gateway lifecycle refresh` asks openai for dates" in listed.err
    # Nobody's list tells when a model of one's own stops.
    assert "refresh" not in run("forecast", "--routes", at_home).out
    assert run("lifecycle", "list", "--routes", at_home).err == ""


def test_a_route_without_a_primary_is_not_one_without_a_date(at_home: Path, shown: Shown) -> None:
    at_home.write_text(AT_HOME.replace("forum-reply-lora}", "forum-reply-lora, new: {primary: null}}"))
    out = shown(seen(at_home, NOV_23))
    assert "1 route has no known date.\n  forum-reply\n" in out
    assert "1 route without a primary: a fallback answers, of which no end is known.\n  new\n" in out
