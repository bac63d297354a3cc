import asyncio
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from command_line import Run
from migrated_database import migrated

from gateway.cli.lifecycle import show
from gateway.cli.lifecycle_table import Sources, aligned
from gateway.config.loader import load
from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.forecast_words import believed
from gateway.lifecycle.listing import ListedModel, models_of_routes
from gateway.lifecycle.route_warnings import route_warnings
from gateway.policy.availability import TargetState
from gateway.policy.lifecycle import Dates, Origin, Published, state
from gateway.reasons import Availability
from gateway.store.database import Database
from gateway.store.published import PublishedStore

TODAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
BASE = "gpt-4o-mini-2024-07-18"
TUNED = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
ROUTES = f"""\
version: 1
providers:
  acme: {{kind: openai, api_key_env: NOBODY_SETS_THIS}}
  azure-eu: {{kind: azure, base_url: "https://acme.invalid", api_key_env: NOBODY_SETS_THIS}}
  quick: {{kind: together, api_key_env: NOBODY_SETS_THIS}}
lifecycle:
  acme: {{"ft:gpt-4.1-2025-04-14:acme::x": {{shutdown: 2027-03-01, source: a mail}}}}
fallbacks:
  luna: {{provider: acme, model: gpt-6-luna}}
  qwen: {{provider: quick, model: Qwen/QwQ-32B}}
defaults: {{provider: acme, fallbacks: [luna]}}
routes:
  forum-reply: {TUNED}
  tone: {{primary: "ft:gpt-4.1-2025-04-14:acme::x", fallbacks: [luna, qwen]}}
  claims: {{primary: {{provider: azure-eu, model: claims-ft, base: gpt-4.1-mini-2025-04-14}}}}
"""


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # No database of the machine these tests run on may be read.
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    return path


@pytest.fixture
def models(routes: Path) -> list[ListedModel]:
    loaded = load(routes, environ={}).routes
    return models_of_routes(loaded, Calendar(loaded), TODAY)


def keep(database: str, *published: Published) -> None:
    async def write() -> None:
        opened = await Database.open(database)
        await PublishedStore(opened).replace("acme", published, TODAY)
        await opened.close()

    migrated(database)
    asyncio.run(write())


def said(day: date) -> Published:
    dates = Dates(shutdown=day, source="https://api.invalid/v1/models", origin=Origin.PROVIDER, read=TODAY.date())
    return Published(TUNED, dates)


# From a shell.


def test_the_models_that_routes_name_are_listed_with_everything_known(routes: Path, run: Run) -> None:
    ran = run("lifecycle", "list", "--json")
    assert (ran.code, ran.err) == (0, "")
    rows = {row["model"]: row for row in ran.json["models"]}
    assert set(rows) == {TUNED, "ft:gpt-4.1-2025-04-14:acme::x", "claims-ft", "gpt-6-luna", "Qwen/QwQ-32B"}
    assert (rows[TUNED]["shutdown"], rows[TUNED]["origin"], rows[TUNED]["acts"]) == ("2027-01-14", "curated", True)
    assert (rows["Qwen/QwQ-32B"]["origin"], rows["Qwen/QwQ-32B"]["acts"]) == ("litellm", False)
    mail = rows["ft:gpt-4.1-2025-04-14:acme::x"]
    assert (mail["shutdown"], mail["source"]) == ("2027-03-01", "a mail")
    assert {other["shutdown"] for other in mail["disputed_by"]} == {"2027-01-14"}
    assert ran.json["at"].endswith("+00:00")


def test_for_a_pipe_everything_that_ships_is_a_line_a_model(routes: Path, run: Run) -> None:
    ran = run("lifecycle", "list", "--all")
    assert ran.code == 0
    assert "\x1b" not in ran.out
    header, *lines = ran.out.split("\n\n")[0].splitlines()
    assert len(lines) > 400
    column = header.index("model")
    assert all(line[column - 1] == " " and line[column] != " " for line in lines)


def test_what_a_gateway_kept_of_its_providers_answers_counts(routes: Path, run: Run, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/kept.db"
    keep(database, said(date(2027, 2, 1)))
    ran = run("lifecycle", "list", "--database", database, "--json")
    (tuned,) = (row for row in ran.json["models"] if row["model"] == TUNED)
    assert (tuned["shutdown"], tuned["origin"], tuned["read"]) == ("2027-02-01", "provider", "2026-11-23")
    assert {other["origin"] for other in tuned["disputed_by"]} == {"curated", "litellm"}


def test_without_a_database_it_works_and_makes_none(routes: Path, run: Run, tmp_path: Path) -> None:
    assert run("lifecycle", "list", "--database", f"sqlite:///{tmp_path}/none.db").code == 0
    assert not (tmp_path / "none.db").exists()


def test_a_database_that_cannot_be_read_costs_only_what_it_would_have_told(
    routes: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database at all" * 100)
    ran = run("lifecycle", "list", "--database", f"sqlite:///{tmp_path}/broken.db")
    assert ran.code == 0
    assert "2027-01-14" in ran.out
    assert "without what a gateway has kept: " in ran.err
    assert "Traceback" not in ran.err


def test_everything_that_ships_needs_no_configuration(routes: Path, run: Run) -> None:
    routes.unlink()
    rows = run("lifecycle", "list", "--all", "--json").json["models"]
    assert len(rows) > 400
    assert {"curated", "feed", "litellm"} == {row["origin"] for row in rows}
    assert run("lifecycle", "list").code == 1, "but what routes name needs routes"


@pytest.mark.parametrize("within", ["-1", "soon", "1.5"])
def test_a_number_of_days_that_is_none_is_a_misuse(within: str, routes: Path, run: Run) -> None:
    assert run("lifecycle", "list", "--within", within).code == 2


def test_the_command_explains_itself(run: Run) -> None:
    ran = run("lifecycle", "list", "--help")
    assert "gateway lifecycle list --within 90" in ran.out


# What is shown, on a day.


@pytest.mark.parametrize(
    ("within", "only_to_come", "shown"),
    [
        pytest.param(None, False, 5, id="all of them, also those without a day"),
        pytest.param(0, False, 1, id="of what routes name, what has stopped is never left out"),
        pytest.param(52, False, 2, id="what stops on the last of those days"),
        pytest.param(51, False, 1, id="but not what stops a day later"),
        pytest.param(52, True, 1, id="of what ships, only what is to come"),
    ],
)
def test_what_stops_within_some_days(
    within: int | None,
    only_to_come: bool,
    shown: int,
    models: list[ListedModel],
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(models, TODAY, within=within, only_to_come=only_to_come, as_json=False)
    assert capsys.readouterr().out.rstrip().splitlines()[-1].startswith(f"{shown} model")


def test_a_list_for_people(models: list[ListedModel], capsys: pytest.CaptureFixture[str]) -> None:
    show(models, TODAY, within=None, only_to_come=False, as_json=False)
    stopped, first, second, third, undated, differ, notes, sources, summary = (
        capsys.readouterr().out.rstrip().split("\n\n")
    )
    assert stopped.startswith("stopped 2025-11-13, ")
    assert first.splitlines() == [
        "stops 2027-01-14, in 52 days: gpt-4o-mini-2024-07-18 at acme, 1 model",
        "  according to curated [2] · announced 2026-10-14 · trainable until 2027-01-06 · replacement gpt-6-luna",
        f"  {TUNED}  forum-reply",
    ]
    assert second.startswith("stops 2027-03-01, in 98 days: gpt-4.1-2025-04-14 at acme, 1 model")
    assert third.splitlines()[-1] == "  claims-ft  claims"
    assert undated.splitlines() == ["No known day: 1 model", "  gpt-6-luna  at acme · forum-reply, tone, +1"]
    assert differ.splitlines() == [
        "Sources that differ:",
        "  ft:gpt-4.1-2025-04-14:acme::x at acme: 2027-03-01 according to routes.yaml [3], "
        "but 2027-01-14 according to curated [2]",
        "  ft:gpt-4.1-2025-04-14:acme::x at acme: 2027-03-01 according to routes.yaml [3], "
        "but 2027-01-14 according to litellm [1], only warns",
    ]
    assert "inherited from gpt-4.1-mini-2025-04-14 at azure-eu: shutdown: 2026-10-14 (Dec-2025 table)" in notes
    assert "  [3] a mail" in sources.splitlines()
    assert sources.count("developers.openai.com") == 1, "each source once"
    assert "fine-tunes: training end + 365 days, read 2026-11-23" in sources
    assert summary == "5 models, 4 with a day; 1 past it; next: 1 model on 2027-01-14, in 52 days"


def test_forty_fine_tunes_of_one_base_share_a_line_where_sources_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tunes = "\n".join(f"  route-{n}: 'ft:gpt-3.5-turbo-1106:acme::{n}'" for n in range(40))
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES.split("routes:\n")[0] + "routes:\n" + tunes + "\n")
    loaded = load(path, environ={}).routes
    show(models_of_routes(loaded, Calendar(loaded), TODAY), TODAY, within=None, only_to_come=False, as_json=False)
    out = capsys.readouterr().out
    assert out.count("inherited from gpt-3.5-turbo-1106 at acme: 2026-09-28 according to curated") == 1
    assert "route-0, route-1, +38" in out
    assert out.rstrip().endswith("41 models, 40 with a day; 40 past it")


def test_a_day_is_said_in_words() -> None:
    def of(days: int) -> ListedModel:
        day = date.fromordinal(TODAY.date().toordinal() + days)
        dates = Dates(shutdown=day, origin=Origin.FEED, source="x", certainty="tentative", acts=False)
        return ListedModel("p", "openai", f"m{days}", None, dates, state(dates, TODAY), days)

    lines = aligned([of(-2), of(-1), of(0), of(1), of(2)], Sources())[1:]
    assert [line[12:22].strip() for line in lines] == ["2 days ago", "1 day ago", "today", "in 1 day", "in 2 days"]
    assert all("feed [1], tentative, only warns" in line for line in lines)


def test_nothing_to_list_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    show([], TODAY, within=None, only_to_come=False, as_json=False)
    assert capsys.readouterr().out == "no such model\n"


def test_no_id_is_broken_however_long_it_is(
    models: list[ListedModel], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show(models, TODAY, within=None, only_to_come=False, as_json=False)
    out = capsys.readouterr().out
    assert all(model.model in out for model in models)


def test_what_was_seen_of_a_model_stands_beside_it(
    models: list[ListedModel], capsys: pytest.CaptureFixture[str]
) -> None:
    words = {
        Availability.GONE: "gone since 2026-11-23",
        Availability.NO_ACCESS: "no access since 2026-11-23",
        Availability.AVAILABLE: "available",
    }
    for availability, word in words.items():
        seen = [replace(model, seen=TargetState(availability, 1, TODAY)) for model in models]
        show(seen, TODAY, within=None, only_to_come=False, as_json=False)
        out = capsys.readouterr().out
        assert f"  {TUNED}  {word} · forum-reply" in out
        assert ("5 gone already" in out) == (availability is not Availability.AVAILABLE)


def test_of_one_list_that_differs_within_itself_it_is_said_whose_row_it_is(
    routes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {("acme", one.model): one for one in (said(date(2027, 1, 16)), replace(said(date(2027, 1, 15)), model=BASE))}
    loaded = load(routes, environ={}).routes
    show(models_of_routes(loaded, Calendar(loaded, told), TODAY), TODAY, within=60, only_to_come=False, as_json=False)
    out = capsys.readouterr().out
    assert out.count("but its base's row in the same list says 2027-01-15") == 1
    route = loaded.routes["forum-reply"]
    warnings = list(route_warnings(route, calendar=Calendar(loaded, told), now=TODAY))
    assert "its primary stops 2027-01-16, but its base's row in the same list says 2027-01-15" in warnings
    assert believed(Calendar(loaded, told).dates_of(route.targets[0])).count("its base's row in the same list") == 1


@pytest.mark.parametrize(
    "command", [("lifecycle", "events"), ("cutover", "tone", "--to", "luna", "--reason", "a trial")]
)
def test_a_database_without_a_gateways_state_is_named(command: tuple[str, ...], routes: Path, run: Run) -> None:
    ran = run(*command)
    assert ran.code == 1
    assert re.fullmatch(
        r"no gateway has kept its state in /\S+/no-ledger-yet.db yet; name another with --database\n", ran.err
    )
