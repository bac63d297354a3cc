"""Verdicts are shown by ``forecast`` and ``explain``, and gate what these and ``impact`` foresee."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from kept_verdicts import ACCEPTED, DAY, HASH, PACK, a_verdict, keep_in, prompt_version, too_few, write_routes

from gateway.cli.forecast import foresee
from gateway.cli.forecast_text import show
from gateway.clock import SystemClock
from gateway.config.loader import load
from gateway.config.packs import parse_pack
from gateway.learning.known import known_to
from gateway.lifecycle.forecast import Forecast, Horizon

Keep = Callable[..., str]


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_routes(tmp_path)


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Keep verdicts in the order given; return the database's URL."""
    return partial(keep_in, tmp_path)


# forecast


def forecast_of(routes: Path, url: str | None) -> Forecast:
    now = datetime(2090, 12, 1, tzinfo=UTC)
    return foresee(routes, Horizon.of_days(now, 90), url)


def test_a_forecast_shows_every_verdict_within_eighty_columns(
    routes: Path, keep: Keep, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    show(forecast_of(routes, keep(a_verdict(routes), a_verdict(routes, "packed", **too_few(230)))))
    section = capsys.readouterr().out.partition("Evidence that")[2].partition("\n\n")[0]
    assert max(map(len, section.splitlines())) <= 80
    said = " ".join(section.split())
    accepted = ACCEPTED.replace("412 rows", "412 rows (2026-11-28)")
    assert f"forum-reply, 14 January 2091: {accepted}" in said
    assert "packed, 14 January 2091: not enough evidence on 50 rows (2026-11-28); about 230 would decide" in said
    assert "careful, 14 January 2091: fallback never evaluated: gateway evaluate careful" in said
    assert "it waits for evidence: nothing moves before 2091-01-14, everything does then" in said
    assert said.endswith("1 route never evaluated: gateway evaluate ROUTE undated")


@pytest.mark.parametrize(
    ("looks", "begins", "complete"),
    [
        pytest.param(None, "2091-01-14", "2091-01-14", id="no database"),
        pytest.param([], "2091-01-14", "2091-01-14", id="never evaluated"),
        pytest.param([{}], "2090-12-24", "2090-12-31", id="accepted"),
        pytest.param([{}, {"verdict": "reject"}], "2091-01-14", "2091-01-14", id="accepted, then rejected"),
        pytest.param([{"prompt_version": "ba9876543210"}], "2091-01-14", "2091-01-14", id="another prompt"),
    ],
)
def test_a_ramp_is_foreseen_only_with_the_evidence_that_it_waits_for(
    looks: list[dict[str, Any]] | None, begins: str, complete: str, routes: Path, keep: Keep
) -> None:
    url = None if looks is None else keep(*(a_verdict(routes, "careful", **look) for look in looks))
    rows = {row.route.name: row for row in forecast_of(routes, url).routes}
    assert (str(rows["careful"].begins), str(rows["careful"].complete)) == (begins, complete)
    assert (str(rows["forum-reply"].begins), str(rows["forum-reply"].complete)) == ("2090-12-24", "2090-12-31")
    assert rows["careful"].serves is not None
    assert rows["careful"].serves.name == "luna"


def test_a_forecast_as_json_has_the_verdict(routes: Path, keep: Keep, run: Run) -> None:
    url = keep(a_verdict(routes))
    found = run("forecast", "--routes", routes, "--database", url, "--json").json
    rows = {row["route"]: row["evidence"] for row in found["routes"]}
    assert rows["alone"] is None
    assert rows["not-trained-yet"] is None
    assert rows["careful"]["proof"] == "never_evaluated"
    assert (rows["careful"]["required"], rows["careful"]["waits"]) == (True, True)
    assert rows["forum-reply"] == {
        "target": "luna",
        "provider": "acme",
        "model": "m1",
        "prompt_version": prompt_version(routes),
        "proof": "accepted",
        "sentence": ACCEPTED,
        "stops": DAY,
        "required": False,
        "waits": False,
        "rows_needed": None,
        "evaluation": {
            "verdict": "accept",
            "prompt_version": prompt_version(routes),
            "measure": "token_f1",
            "margin": 0.05,
            "rows": 412,
            "retained": {"estimate": 0.93, "low": 0.88, "high": 0.97},
            "difference": {"estimate": -0.01, "low": -0.03, "high": 0.01},
            "cost_change": -0.38,
            "first_token_change": -0.12,
            "evaluated_at": "2026-11-28T09:00:00+00:00",
        },
    }


def test_without_a_database_a_forecast_has_no_verdicts(routes: Path, run: Run) -> None:
    found = run("forecast", "--routes", routes, "--json").json
    assert {str(row["evidence"]) for row in found["routes"]} == {"None"}
    said = " ".join(run("forecast", "--routes", routes).out.split())
    assert "it waits for evidence" in said
    assert "forum-reply, 14 January" not in said


# explain, impact


@pytest.mark.parametrize(
    ("route", "looks", "day", "first", "says"),
    [
        pytest.param("careful", [], "2091-01-05", "primary", True, id="held back"),
        pytest.param("careful", None, "2091-01-05", "primary", True, id="held back, without a database"),
        pytest.param("careful", [], "2090-12-28", "primary", True, id="held back on the ramp"),
        pytest.param("careful", [], "2090-12-20", "primary", False, id="nothing would move yet"),
        pytest.param("careful", [], DAY, "luna", False, id="the day itself"),
        pytest.param("careful", [{}], "2091-01-05", "luna", False, id="accepted"),
        pytest.param("careful", [{}, {"verdict": "reject"}], "2091-01-05", "primary", True, id="rejected since"),
        pytest.param("forum-reply", [], "2091-01-05", "luna", False, id="no evidence asked for"),
    ],
)  # fmt: skip
def test_the_plan_of_a_day_waits_for_evidence_and_says_so(
    route: str, looks: list[dict[str, Any]] | None, day: str, first: str, says: bool, routes: Path, keep: Keep, run: Run
) -> None:
    database = [] if looks is None else ["--database", keep(*(a_verdict(routes, route, **look) for look in looks))]
    asked = ("explain", "--route", route, "--at", day, "--routes", routes, *database)
    plan = run(*asked, "--json").json
    assert plan["steps"][0]["target"] == first
    assert plan["waits_for_evidence"] is says
    assert ("  it waits for evidence until the day: fallback " in run(*asked).out) is says


@pytest.mark.parametrize(
    ("verdicts", "today"),
    [pytest.param(0, "primary", id="held back"), pytest.param(1, "sol", id="accepted, so that it has moved")],
)
def test_an_impact_asks_whoever_answers_today(verdicts: int, today: str, routes: Path, keep: Keep, run: Run) -> None:
    stops = SystemClock().now().date() + timedelta(days=30)
    written = routes.read_text().replace(DAY, str(stops)).replace("days_before: 14", "days_before: 90")
    written = written.replace("  packed: {provider", "  sol: {provider: acme, model: m2}\n  packed: {provider")
    routes.write_text(written.replace("careful: {", "careful: {fallbacks: [luna, sol], "))
    url = keep(*[a_verdict(routes, "careful")] * verdicts)
    found = run("impact", "--base", "m1", "--routes", routes, "--database", url, "--json").json
    rows = {row["route"]: row["serves_today"] for row in found["routes"]}
    assert rows["careful"]["target"] == today


# What is read


def test_evaluations_and_packs_are_read_with_everything_else(routes: Path, keep: Keep) -> None:
    written = load(routes, environ={}).routes
    known = asyncio.run(known_to(keep(a_verdict(routes, "careful")), routes=written))
    assert [found.route for found in known.evaluations or ()] == ["careful"]
    assert list(known.packs) == [HASH]
    served = known.as_served(written)
    assert served.routes["careful"] == written.routes["careful"]
    prompt = served.routes["packed"].fallbacks[0].prompt
    assert prompt is not None
    assert prompt.version == f"{parse_pack(PACK).version}-keep"
