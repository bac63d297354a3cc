"""``gateway report`` on a real ledger of one week."""

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import Run

from gateway.cli.report_numbers import amount, bar, short, times
from gateway.cli.report_period import period_of
from gateway.clock import SystemClock
from gateway.ledger.entry import Entry
from gateway.lifecycle.report_words import span_of
from gateway.policy.standing import Standing
from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource
from gateway.store.database import Database
from gateway.store.migrate import migrate
from gateway.store.rehearsals import Pair, RehearsalStore
from gateway.store.states import RouteMove, StateStore
from gateway.store.usage import UsageStore
from tests.store.rows import START, an_entry

NOW = datetime(2026, 11, 29, 10, 37, tzinfo=UTC)
TUNED = "ft:gpt-4.1-mini-2025-04-14:acme:forum:A1b2C3d4"
TRIAGE = "ft:gpt-4.1-mini-2025-04-14:acme:triage:B1b2C3d4"
ROUTES = f"""\
version: 1
providers: {{sandbox: {{kind: sandbox, base_url: "http://127.0.0.1:8081/v1"}}}}
fallbacks:
  mini: {{provider: sandbox, model: mini, prompt: {{instructions: "{"Be kind. " * 890}"}}}}
defaults: {{provider: sandbox, fallbacks: [mini], owner: support}}
lifecycle: {{sandbox: {{"{TUNED}": {{shutdown: 2027-01-14, source: a mail}}}}}}
routes:
  forum-reply: {{primary: "{TUNED}", training: {{cost_usd: 2.10}}}}
  ticket-triage: {{primary: "{TRIAGE}"}}
  alone: {{primary: "ft:gpt-4.1-mini-2025-04-14:acme:alone:C1b2C3d4", fallbacks: []}}
prices:
  sandbox:
    mini: {{input_usd_per_1m: 0.40, cached_input_usd_per_1m: 0.10, output_usd_per_1m: 1.60, source: by hand}}
    {TUNED}: {{input_usd_per_1m: 0.80, output_usd_per_1m: 3.20, source: by hand}}
    {TRIAGE}: {{input_usd_per_1m: 0.80, output_usd_per_1m: 3.20, source: by hand}}
"""
ASKED = {"provider": "sandbox", "input_tokens": 200, "cached_input_tokens": 0, "output_tokens": 150, "overhead_ms": 0.7}
ON_TUNED = ASKED | {"model_asked": TUNED, "model_answered": TUNED, "cost_nanousd": 640_000}
ON_MINI = ASKED | {
    "role": Role.FALLBACK, "target": "mini", "model_asked": "mini", "model_answered": "mini", "reason": Reason.GONE,
    "input_tokens": 2200, "cost_nanousd": 1_120_000,
}  # fmt: skip
FAILED = {
    "outcome": Outcome.FAILED,
    "failure": FailureKind.TIMEOUT,
    "model_answered": None,
    "cost_nanousd": None,
    "input_tokens": 0,
    "output_tokens": 0,
}
Fill = Callable[[Sequence[Entry]], str]


def ago(**fields: Any) -> timedelta:
    return NOW - timedelta(**fields) - START


def requests(count: int, fields: dict[str, Any], *, days: float = 2) -> list[Entry]:
    return [an_entry(ago(days=days, seconds=step), **fields) for step in range(count)]


@pytest.fixture(autouse=True)
def sunday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    return path


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "ledger.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def fill(routes: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Keep rows in the database that commands look at, and return its URL."""
    url = f"sqlite:///{shutil.copy(migrated, routes.parent)}"
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)

    def fill(rows: Sequence[Entry]) -> str:
        in_database(url, lambda database: UsageStore(database).insert_attempts(rows))
        return url

    return fill


def in_database(url: str, ask: Callable[[Database], Any]) -> Any:
    async def asked() -> Any:
        database = await Database.open(url)
        try:
            return await ask(database)
        finally:
            await database.close()

    return asyncio.run(asked())


def a_week() -> list[Entry]:
    return [
        *requests(40, ON_TUNED | {"ttft_ms": 150.0, "stream": True}),
        *requests(3, ON_TUNED | FAILED),
        *requests(9, ON_MINI, days=1),
        *requests(1, ON_MINI | {"reason": Reason.TIMEOUT}, days=0.5),
        *requests(5, ON_TUNED | {"route": "ticket-triage", "model_asked": TRIAGE, "model_answered": TRIAGE}),
        *requests(2, ON_MINI | {"kind": "rehearsal"}),
        *requests(1, ON_TUNED | {"kind": "probe", "cost_nanousd": 1000}),
        *requests(7, ON_MINI | {"pinned": True}),
        *requests(4, ON_TUNED, days=8),
    ]


# What it says


def test_a_week_is_told_by_route_and_target(run: Run, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    fill(a_week())
    ran = run("report")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert " ".join(lines[:2]) == (
        "7 days and today, 2026-11-22 00:00 to 2026-11-29 10:37 UTC: 55 requests to 2 routes cost $0.04; fallbacks "
        "answered 18%."
    )
    assert lines[2] == "Beside these, to learn: 1 probe <$0.0001, 2 rehearsals $0.0022."
    cells = [line.split() for line in lines]
    assert ["forum-reply", "50", "3", "30.0k", "0", "7,500", "$0.04"] in cells
    assert ["primary", "40", "3", "8,000", "0", "6,000", "$0.03"] in cells
    assert ["mini", "10", "0", "22.0k", "0", "1,500", "$0.01"] in cells
    assert ["ticket-triage", "5", "0", "1,000", "0", "750", "$0.0032"] in cells
    assert ["forum-reply:", "primary", "1.0/1.0/1.0", "s", "148/148/148", "ms", "0.69/0.69/0.69", "ms"] in cells
    told = " ".join(ran.out.split())
    assert (
        "forum-reply: 20% on fallback (10 of 50), from 2026-11-28 10:36 to 2026-11-28 22:37 UTC: gone 9, timeout 1. "
        "Extra cost +$0.0048: $1.12 per 1,000 requests, the primary's $0.64 (measured, on other requests of the same "
        "period)."
    ) in told
    table = [line for line in lines if line.startswith("  ")]
    assert max(map(len, table)) <= 80


def test_the_same_as_json(run: Run, fill: Fill) -> None:
    fill(a_week())
    found = run("report", "--json", "forum-reply", "--break-even").json
    assert found["period"] == {
        "words": "7 days and today, 2026-11-22 00:00 to 2026-11-29 10:37 UTC",
        "since": "2026-11-22T00:00:00+00:00",
        "until": "2026-11-29T10:37:00+00:00",
        "ledger_begins": "2026-11-21T10:00:00+00:00",
        "lacks_totals_since": None,
    }
    assert found["totals"]["requests"] == 50
    assert found["totals"]["attempts"] == 53
    assert found["totals"]["cost_nanousd"] == 40 * 640_000 + 10 * 1_120_000
    assert found["on_fallback"] == 10
    assert found["learning"]["rehearsal"]["cost_nanousd"] == 2_240_000
    (route,) = found["routes"]
    assert (route["route"], route["owner"], route["in_configuration"]) == ("forum-reply", "support", True)
    primary, mini = route["targets"]
    assert (primary["target"], primary["served_by"], primary["model"]) == ("primary", "primary", TUNED)
    assert primary["first_token_ms"]["requests"] == 40
    assert primary["latency_ms"]["p99"] == pytest.approx(1000, rel=0.02)
    assert mini["first_token_ms"] is None
    assert route["fallback"]["share"] == 0.2
    assert route["fallback"]["reasons"] == {"gone": 9, "timeout": 1}
    assert route["fallback"]["extra_cost"]["nanousd"] == 4_800_000
    assert route["fallback"]["extra_cost"]["basis"] == "measured"
    assert route["break_even"]["answer"] == "depends_on_cache"


def test_where_the_primary_answered_nothing_the_extra_cost_is_computed(run: Run, fill: Fill) -> None:
    fill(requests(25, ON_MINI))
    extra = run("report", "--json").json["routes"][0]["fallback"]["extra_cost"]
    # The prompt of 8,010 characters is 2,003 tokens.
    assert (extra["basis"], extra["primary_nanousd_per_request"]) == ("computed", 197 * 800 + 150 * 3200)
    assert "computed: its tokens without the prompt, at the primary's price" in " ".join(run("report").out.split())


def test_a_route_that_never_had_a_primary_costs_nothing_extra(run: Run, fill: Fill, routes: Path) -> None:
    routes.write_text(f"{ROUTES}\n".replace("routes:\n", "routes:\n  untrained: {primary: null}\n"))
    on_mini = ON_MINI | {"reason": Reason.NO_PRIMARY}
    fill([*requests(2, on_mini | {"route": "untrained"}), *requests(2, on_mini | {"route": "old-one"})])
    told = " ".join(run("report").out.split())
    assert "untrained: 100% on fallback (2 of 2), from 2026-11-27 10:36 to 2026-11-27 10:37 UTC: no_primary 2." in told
    assert told.count("extra cost is not known") == 1
    assert "Its extra cost is not known: routes.yaml does not name the route." in told
    cells = [line.split() for line in run("report").out.splitlines()]
    assert ["untrained", "2", "0", "4,400", "0", "300", "$0.0022"] in cells
    assert ["mini", "2", "0", "4,400", "0", "300", "$0.0022"] in cells


def test_who_answers_now_and_since_when_is_what_replicas_agree_on(run: Run, fill: Fill) -> None:
    url = fill(a_week())
    move = RouteMove("forum-reply", Standing("mini", Reason.GONE), None, None)
    at = NOW - timedelta(hours=3)
    in_database(url, lambda database: StateStore(database, "me").move_routes([move], now=at, config_hash="hash"))
    assert "Now answers mini, since 2026-11-29 07:37 UTC (gone)." in " ".join(run("report").out.split())


def test_what_has_no_price_is_not_free(run: Run, fill: Fill) -> None:
    odd = ON_TUNED | {"route": "old-one", "model_asked": "old", "model_answered": "old", "cost_nanousd": None}
    cut = ON_TUNED | {"outcome": Outcome.INTERRUPTED, "usage_source": UsageSource.INTERRUPTED, "usage_rejected": True}
    fill([*requests(40, ON_TUNED), *requests(2, odd), *requests(1, cut)])
    told = " ".join(run("report").out.split())
    assert "old-one 2 0 400 300 unpriced" in told.replace(" 0 300", " 300")
    assert "≥$0.03" in told
    assert "≥: costs leave out 2 attempts that used tokens and have no price (sandbox: old)" in told
    assert "Of 1 attempt the tokens are estimates" in told
    assert "Of 1 attempt the provider's count was absurd" in told
    assert "Of the requests, 1 broke off." in told
    assert "Not in routes.yaml: old-one." in told


def test_it_adds_up_by_whatever_is_asked_for(run: Run, fill: Fill) -> None:
    tagged = {"team": "billing", "key": "web", "tags": {"feature": "search", "env": "prod"}}
    fill(
        [
            *requests(20, ON_TUNED | tagged, days=3),
            *requests(2, ON_MINI | {"key": "batch", "tags": {"env": "prod"}}, days=1),
            *requests(1, ON_TUNED | {"tags": {"feature": "checkout"}}, days=1),
        ]
    )
    for by, labels in {
        "team": ["billing", "(nobody's)"],
        "target": [f"sandbox: {TUNED}", "sandbox: mini"],
        "reason": ["primary", "gone"],
        "key": ["web", "batch"],
        "tag": ["env=prod", "feature=search", "feature=checkout"],
        "tag:feature": ["search", "checkout"],
        # One of the days is quiet.
        "day": ["2026-11-26", "2026-11-27", "2026-11-28"],
    }.items():
        found = run("report", "--by", by, "--json").json
        assert (found["by"], [line["label"] for line in found["lines"]]) == (by, labels)
    assert [line["requests"] for line in found["lines"]] == [20, 0, 3]
    assert run("report", "--by", "tag:Feature", "--json").json["by"] == "tag:feature"
    shown = run("report", "--by", "day").out.splitlines()
    assert [line.split()[0] for line in shown if line.rstrip().endswith("▇")] == ["2026-11-26", "2026-11-28"]


def test_values_that_a_day_had_no_room_for_are_not_left_out(run: Run, fill: Fill) -> None:
    fill([an_entry(ago(days=2), **ON_TUNED, tags={"user": str(number)}) for number in range(1003)])
    lines = run("report", "--by", "tag:user", "--json").json["lines"]
    assert (lines[0]["label"], lines[0]["requests"], sum(line["requests"] for line in lines)) == ("_other", 3, 1003)


def test_a_key_is_shown_as_it_is(run: Run, fill: Fill) -> None:
    fill(requests(1, ON_TUNED | {"key": "=web"}))
    assert [line["label"] for line in run("report", "--by", "key", "--json").json["lines"]] == ["=web"]


def test_a_thousand_routes_that_nobody_knows_are_not_all_named(run: Run, fill: Fill) -> None:
    fill(
        [*requests(1, ON_TUNED), *(row for n in range(30) for row in requests(1, ON_TUNED | {"route": f"old-{n:02}"}))]
    )
    told = " ".join(run("report").out.split())
    assert "Not in routes.yaml: old-00, old-01, old-02, old-03, old-04, " in told
    assert "old-08, old-09 and 20 more." in told


def test_little_money_is_not_nothing(run: Run, fill: Fill) -> None:
    fill(requests(1, ON_TUNED | {"cost_nanousd": 1000}))
    assert "1 request to 1 route cost <$0.0001." in " ".join(run("report").out.split())


def test_nobody_carries_a_tag_that_nobody_sends(run: Run, fill: Fill) -> None:
    fill(a_week())
    assert "No request of this period carries a tag feature." in run("report", "--by", "tag:feature").out


def test_what_there_is_no_room_for_is_named(run: Run, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(a_week())
    monkeypatch.setenv("COLUMNS", "50")
    lines = run("report").out.splitlines()
    assert "Left out for want of width: failed, cached; --json has everything." in lines
    assert "Left out for want of width: first token, overhead; --json has everything." in lines
    assert max(len(line) for line in lines if line.startswith("  ")) <= 50


# Break-even


def break_even(run: Run, route: str = "forum-reply", *options: str) -> dict[str, Any]:
    (found,) = run("report", route, "--break-even", "--json", *options).json["routes"]
    answer: dict[str, Any] = found["break_even"]
    answer["said"] = " ".join(answer["words"])
    return answer


def test_measured_apart_the_example_worked_by_hand_breaks_even_at_4375(run: Run, fill: Fill) -> None:
    fill([*requests(400, ON_TUNED), *requests(30, ON_MINI, days=1)])
    found = break_even(run)
    assert (found["answer"], found["basis"], found["requests_compared"]) == ("breaks_even", "apart", [30, 400])
    assert found["saving_nanousd_per_request"] == {"estimate": 480_000, "low": 480_000, "high": 480_000}
    assert found["spent_nanousd"] == {
        "training": 2_100_000_000,
        "labelling": 0,
        "evaluation": 0,
        "total": 2_100_000_000,
    }
    assert found["requests_needed"] == {"requests": 4375, "at_least": 4375, "at_most": 4375}
    assert (found["served"], found["shutdown"]) == (400, "2027-01-14")
    assert found["days_left"] == pytest.approx(45.558, abs=0.001)
    assert found["payback"]["saved_nanousd"]["estimate"] == 400 * 480_000
    assert found["payback"]["requests_left"]["requests"] == 3975
    # 430 requests in the two days and 399 seconds since the first: 214.5 a day.
    assert found["payback"]["days"]["estimate"] == pytest.approx(18.53, abs=0.01)
    assert found["payback"]["in_time"] == "yes"
    told = " ".join(run("report", "forum-reply", "--break-even").out.split())
    assert found["said"] in told
    assert "forum-reply: breaks even after 4,375 requests: $2.10 spent, a request saves $0.48 per 1,000." in told
    assert (
        "Measured on different requests, 30 of the fallback and 400 of the fine-tune: 1,000 requests cost $1.12 on "
        "mini with its prompt, $0.64 on the fine-tune."
    ) in told
    assert "So far it has served 400 requests since the ledger begins, which saved $0.19." in told
    assert "it stops on 2027-01-14, with some 9,772 requests until then: it pays back in time." in told


def test_pairs_of_the_same_requests_go_first(run: Run, fill: Fill, routes: Path) -> None:
    from gateway.config.loader import load

    url = fill([*requests(40, ON_TUNED), *requests(40, ON_MINI)])
    prompt = load(routes, environ={}).routes.routes["forum-reply"].fallbacks[0].prompt
    assert prompt is not None
    pairs = [
        Pair(
            an_entry(ago(days=3, seconds=step)).attempt_id, "r", "forum-reply", "mini", prompt.version, cost, 1, None, 1
        )
        for step, cost in enumerate([-100_000, 200_000] * 30)
    ]
    in_database(url, lambda database: RehearsalStore(database).keep(pairs))
    found = break_even(run)
    assert (found["basis"], found["requests_compared"]) == ("paired", [60, 60])
    assert found["saving_nanousd_per_request"]["estimate"] == 50_000
    assert found["answer"] == "breaks_even"
    assert found["requests_needed"]["at_least"] < found["requests_needed"]["requests"] == 42_000
    assert found["payback"]["in_time"] == "no"
    assert "does not pay back in time" in found["said"]


def test_computed_a_warm_cache_decides(run: Run, fill: Fill) -> None:
    fill(requests(40, ON_TUNED))
    found = break_even(run)
    # The prompt's 2,003 tokens are enough to be cached.
    assert (found["answer"], found["basis"]) == ("depends_on_cache", "computed")
    assert found["computed"] == {
        "prompt_tokens_fixed": 2003,
        "prompt_tokens_similar": 0,
        "query_tokens": 200,
        "output_tokens": 150,
        "base_cold_nanousd_per_request": 2003 * 400 + 200 * 400 + 150 * 1600,
        "base_warm_nanousd_per_request": 2003 * 100 + 200 * 400 + 150 * 1600,
    }
    assert "Computed, not measured" in found["said"]


def test_never_is_an_answer(run: Run, fill: Fill) -> None:
    fill([*requests(40, ON_TUNED), *requests(40, ON_MINI | {"cost_nanousd": 580_000})])
    found = break_even(run)
    assert found["answer"] == "never"
    assert found["said"].startswith("never: the fine-tune saves nothing, −$0.06 per 1,000 requests.")


def test_not_shown_to_save_anything_is_never_too(run: Run, fill: Fill) -> None:
    dear, cheap = (requests(20, ON_MINI | {"cost_nanousd": cost}, days=1) for cost in (1_000_000, 300_000))
    fill([*requests(40, ON_TUNED), *dear, *cheap])
    found = break_even(run)
    assert found["answer"] == "never"
    assert found["said"].startswith("never, as far as can be shown: what 1,000 requests save is $0.01 (−$0.")


@pytest.mark.parametrize(
    ("route", "rows", "answer", "said"),
    [
        pytest.param(
            "forum-reply", requests(29, ON_TUNED), "too_little_data",
            "too little data: 29 requests of the fine-tune in this period, and below 30 nothing is concluded",
            id="29 requests",
        ),
        pytest.param(
            "ticket-triage",
            requests(30, ON_TUNED | {"route": "ticket-triage", "model_asked": TRIAGE, "model_answered": TRIAGE})
            + requests(30, ON_MINI | {"route": "ticket-triage"}),
            "no_training_cost",
            "a request saves $0.48 per 1,000; what the training cost is not given: add training.cost_usd to the route.",
            id="nobody said what the training cost",
        ),
        pytest.param(
            "alone", requests(30, ON_TUNED | {"route": "alone"}), "nothing_to_compare", "nothing to compare",
            id="no fallback",
        ),
    ],
)  # fmt: skip
def test_why_there_is_no_break_even(
    route: str, rows: list[Entry], answer: str, said: str, run: Run, fill: Fill
) -> None:
    fill(rows)
    found = break_even(run, route)
    assert found["answer"] == answer
    assert said in found["said"]


def test_without_a_price_it_is_not_known(run: Run, fill: Fill, routes: Path) -> None:
    routes.write_text(ROUTES.replace("    mini: {input", "    other: {input"))
    fill(requests(40, ON_TUNED))
    assert break_even(run)["answer"] == "not_priced"


def test_hosting_is_shared_among_a_days_requests(run: Run, fill: Fill, routes: Path) -> None:
    routes.write_text(ROUTES.replace("cost_usd: 2.10", "cost_usd: 2.10, labelling_usd: 1, hosting_usd_per_day: 0.01"))
    fill([*requests(100, ON_TUNED, days=1), *requests(100, ON_MINI, days=1)])
    found = break_even(run)
    share = 10_000_000 / found["requests_per_day"]
    assert found["hosting_nanousd_per_request"] == pytest.approx(share, abs=0.1)
    assert found["saving_nanousd_per_request"]["estimate"] == pytest.approx(480_000 - share, abs=0.1)
    assert found["spent_nanousd"]["total"] == 3_100_000_000


# Where there is nothing, or nothing like that


def test_where_no_gateway_ever_ran_there_is_nothing_and_that_is_no_error(run: Run, routes: Path) -> None:
    ran = run("report")
    assert ran.code == 0
    assert " ".join(ran.out.split()).startswith("The ledger is empty: no request has been kept in /")
    found = run("report", "--json").json
    assert found["nothing_kept_in"].endswith("no-ledger-yet.db")
    assert (found["routes"], found["lines"], found["totals"]) == ([], [], None)


def test_an_empty_ledger_is_no_error_either(run: Run, fill: Fill) -> None:
    fill([])
    ran = run("report", "--break-even", "--by", "day")
    assert (ran.code, ran.out[:20]) == (0, "The ledger is empty:")


def test_rows_of_a_version_without_totals_are_no_empty_ledger(run: Run, fill: Fill) -> None:
    url = fill(requests(3, ON_TUNED))
    path = url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM usage_hours")
        database.execute("DELETE FROM usage_days")
        database.commit()
    said = "from 2026-11-27 10:36 UTC on were kept by a version without totals, and are in no report"
    told = " ".join(run("report").out.split())
    assert f"Rows {said}: `gateway ledger verify --repair` makes the totals, once." in told
    assert "empty" not in told
    found = run("report", "--json").json
    assert (found["nothing_kept_in"], found["period"]["lacks_totals_since"][:16]) == (None, "2026-11-27T10:36")
    status = run("ledger", "status")
    assert (status.code, said in status.out) == (1, True)
    assert run("ledger", "verify", "--repair").code == 0
    assert run("report", "--json").json["totals"]["requests"] == 3
    assert run("ledger", "status").code == 0


def test_probes_are_no_route(run: Run, fill: Fill) -> None:
    fill([*requests(2, ON_TUNED), *requests(1, ON_MINI | {"route": "", "kind": "probe"})])
    told = run("report").out
    assert "Not in routes.yaml" not in told
    assert "all routes" not in told
    assert "1 probe" in told
    assert [use["route"] for use in run("report", "--json").json["routes"]] == ["forum-reply"]


def test_a_last_day_that_has_passed_is_told_as_passed(run: Run, fill: Fill, routes: Path) -> None:
    routes.write_text(ROUTES.replace("2027-01-14", "2026-11-28"))
    fill([*requests(40, ON_TUNED), *requests(40, ON_MINI)])
    found = break_even(run)
    assert (found["days_left"], found["payback"]["in_time"]) == (0, "no")
    assert "it stopped on 2026-11-28, with some 0 requests until then: it does not pay back in time." in found["said"]


def test_a_period_in_which_nothing_was_asked_says_where_the_ledger_begins(run: Run, fill: Fill) -> None:
    fill(a_week())
    assert (
        run("report", "--since", "2026-01-01", "--until", "2026-02-01")
        .out.split("\n")[0]
        .startswith("Nothing was asked in this period (2026-01-01 00:00 to 2026-02-01 00:00 UTC). The ledger begins at")
    )


def test_without_routes_yaml_the_ledger_speaks_for_itself(run: Run, fill: Fill, routes: Path) -> None:
    fill(a_week())
    routes.unlink()
    ran = run("report")
    assert (ran.code, ran.err) == (0, "without owners, dates and prices: there is no routes.yaml\n")
    assert "forum-reply" in ran.out
    assert "Not in routes.yaml" not in ran.out
    assert run("report", "--break-even").code == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["forum-rply"], "there is no route 'forum-rply'; did you mean 'forum-reply'?", id="unknown route"),
        pytest.param(["xyz"], "there are: alone, forum-reply, old-one, ticket-triage", id="nothing like it"),
        pytest.param(["--by", "tem"], "did you mean 'team'?", id="unknown dimension"),
        pytest.param(["--by", "day:x"], "'day:x': one of day, team,", id="only tags have names"),
        pytest.param(["--since", "yesterday"], "'yesterday' names no time", id="no time"),
        pytest.param(["--since", "2026-12-01"], "before it begins", id="a period that ends before it begins"),
        pytest.param(["--since", "999999w"], "'999999w' names no time", id="before there were calendars"),
    ],
)
def test_misuse_is_exit_code_2_and_says_what_is_meant(options: list[str], said: str, run: Run, fill: Fill) -> None:
    fill(requests(1, ON_TUNED | {"route": "old-one"}))
    ran = run("report", *options)
    assert ran.code == 2
    assert said in " ".join(ran.err.replace("│", " ").split())


def test_a_configuration_that_cannot_be_used_is_exit_code_2(run: Run, fill: Fill, routes: Path) -> None:
    fill([])
    routes.write_text("version: 7\n")
    assert run("report").code == 2


def test_a_database_that_cannot_be_reached_is_exit_code_1(run: Run, routes: Path) -> None:
    ran = run("report", "--database", "postgresql://me:secret@127.0.0.1:1/ledger")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("cannot read the ledger: postgresql+asyncpg://me:***@127.0.0.1:1/ledger")


def test_a_route_that_only_the_ledger_knows_is_known(run: Run, fill: Fill) -> None:
    fill(requests(1, ON_TUNED | {"route": "old-one"}))
    (found,) = run("report", "old-one", "--json").json["routes"]
    assert (found["in_configuration"], found["owner"]) == (False, None)


# Small things


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("7d", None, "7 days and today, 2026-11-22 00:00 to 2026-11-29 10:37 UTC"),
        ("1D", None, "1 day and today, 2026-11-28 00:00 to 2026-11-29 10:37 UTC"),
        ("2w", None, "14 days and today, 2026-11-15 00:00 to 2026-11-29 10:37 UTC"),
        ("0d", None, "today, 2026-11-29 00:00 to 2026-11-29 10:37 UTC"),
        ("5h", None, "5 hours, 2026-11-29 05:00 to 2026-11-29 10:37 UTC"),
        ("24h", None, "24 hours, 2026-11-28 10:00 to 2026-11-29 10:37 UTC"),
        ("2026-11-01", None, "28 days and today, 2026-11-01 00:00 to 2026-11-29 10:37 UTC"),
        ("2026-11-01", "2026-11-08", "2026-11-01 00:00 to 2026-11-08 00:00 UTC"),
        ("7d", "1d", "2026-11-22 00:00 to 2026-11-28 00:00 UTC"),
        ("24h", "2h", "2026-11-28 10:00 to 2026-11-29 08:00 UTC"),
        ("7d", "9999-12-31T23:30", "7 days and today, 2026-11-22 00:00 to 2026-11-29 10:37 UTC"),
        ("0001-01-01", "1971-01-01", "1970-01-01 00:00 to 1971-01-01 00:00 UTC"),
        ("99999w", "1971-01-01", "1970-01-01 00:00 to 1971-01-01 00:00 UTC"),
        ("2026-11-29T10:15+00:00", None, "2026-11-29 10:15 to 2026-11-29 10:37 UTC"),
    ],
)
def test_periods_are_said_in_words(since: str, until: str | None, said: str) -> None:
    assert span_of(period_of(since, until, NOW)) == said


def test_numbers_are_short() -> None:
    assert [amount(count) for count in (0, 9_999, 10_000, 123_456, 4_800_000, 2 * 10**12)] == [
        "0", "9,999", "10.0k", "123k", "4.80M", "2000G",
    ]  # fmt: skip
    assert times(148.4, 289, 381) == "148/289/381 ms"
    assert times(0.5, 2, 12345) == "0.00/0.00/12 s"
    assert times(0.75, 1.2, 15) == "0.75/1.2/15 ms"
    assert short("ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4", 21) == "ft:gpt-4o-…y:A1b2C3d4"
    assert [bar(part, 100) for part in (0, 1, 100)] == ["", "▇", "▇" * 16]
