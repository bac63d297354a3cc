"""Routes: who is answering right now, and is that what we meant?"""

import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from postgres_server import RunningPostgres
from viewed_gateway import NOW, ROUTES, STOPS, TUNED, a_row, on_luna, viewed

from gateway.api.pages import words
from gateway.api.pages.notes import notes_of
from gateway.api.pages.route_figures import days_of
from gateway.api.pages.route_kept import read_route
from gateway.api.pages.routes_kept import RoutesKept, last_day, read_routes
from gateway.api.pages.routes_now import Concern, RouteNow
from gateway.api.pages.sentence import why, written
from gateway.api.pages.sorting import Sort
from gateway.ledger.figures import LedgerFigures
from gateway.policy.lifecycle import UNKNOWN_DATES
from gateway.policy.planner import Command
from gateway.policy.standing import Standing
from gateway.reasons import Availability, Outcome, Reason, Role
from gateway.store.database import Database
from gateway.store.states import RouteMove, StateStore
from gateway.store.usage import UsageStore

HOUR = timedelta(hours=1)


def a_route(name: str = "reply", **fields: Any) -> RouteNow:
    usual: dict[str, Any] = {
        "owner": "support",
        "concern": Concern.NONE,
        "role": Role.PRIMARY,
        "target": "primary",
        "model": "tuned",
        "provider": "acme",
        "reason": Reason.PRIMARY,
        "refused": None,
        "since": None,
        "moved": None,
        "command": None,
        "dates": UNKNOWN_DATES,
        "has_primary": True,
        "has_fallback": True,
    }
    return RouteNow(name=name, **usual | fields)


def said(*routes: RouteNow) -> str:
    return "".join(part.text for part in written(routes, NOW))


GONE = {"concern": Concern.UNINTENDED, "role": Role.FALLBACK, "target": "luna", "reason": Reason.GONE}
NOBODY = {"concern": Concern.NOBODY, "role": None, "target": "", "reason": Reason.GONE}
STOPPED = {"concern": Concern.MOVED, "role": Role.FALLBACK, "reason": Reason.SHUTDOWN_REACHED}


@pytest.mark.parametrize(
    ("routes", "sentence"),
    [
        pytest.param([], "", id="no routes"),
        pytest.param([a_route()], "The one route answers as intended.", id="one"),
        pytest.param([a_route("a"), a_route("b")], "All 2 routes answer as intended.", id="all"),
        pytest.param(
            [a_route("a"), a_route("b", **GONE, since=NOW - 3 * HOUR)],
            "1 of 2 routes answers as intended. 1 runs on its fallback: b since 09:30 UTC (gone).",
            id="one on its fallback, since today",
        ),
        pytest.param(
            [a_route("a"), a_route("c", **GONE), a_route("b", **GONE, since=datetime(2026, 1, 14, tzinfo=UTC))],
            "1 of 3 routes answers as intended. 2 run on their fallback: b since 14 Jan 00:00 UTC (gone), c (gone).",
            id="the longest first, then those of unknown age",
        ),
        pytest.param(
            [a_route("a", **NOBODY, since=NOW - HOUR, has_fallback=False)],
            "The one route does not answer as intended. 1 cannot be answered: a since 11:30 UTC (gone, no fallback).",
            id="nobody",
        ),
        pytest.param(
            [a_route("a"), a_route("b", **STOPPED, since=datetime(2025, 1, 14, tzinfo=UTC))],
            "All 2 routes answer as intended. 1 of them has moved as planned: b since 14 Jan 2025 (shutdown).",
            id="moved by its date, in another year",
        ),
        pytest.param(
            [a_route("a", **GONE), a_route("b", concern=Concern.MOVED, reason=Reason.DEPRECATED_RAMP, moved=0.52)],
            "1 of 2 routes answers as intended. 1 runs on its fallback: a (gone)."
            " 1 more has moved as planned: b (ramping, 52%).",
            id="trouble and a ramp",
        ),
        pytest.param(
            [a_route(f"r{number}", **GONE) for number in range(9)],
            "0 of 9 routes answer as intended. 9 run on their fallback: r0 (gone), r1 (gone), r2 (gone), r3 (gone), "
            "r4 (gone) and 4 more.",
            id="many are counted",
        ),
    ],
)
def test_the_sentence_is_what_a_colleague_would_say(routes: list[RouteNow], sentence: str) -> None:
    assert said(*routes) == sentence


def test_a_hand_is_named() -> None:
    command = Command("luna", "trying it", "anna@desk", NOW, NOW + HOUR)
    assert why(a_route(concern=Concern.MOVED, reason=Reason.COMMANDED, command=command)) == "by anna@desk"


def services(**fields: Any) -> Any:
    snapshot = SimpleNamespace(config_hash="mine", loaded_at=NOW - HOUR)
    usual = {
        "pipeline": SimpleNamespace(snapshot=snapshot),
        "ledger_figures": LedgerFigures,
        "ledger_waits": lambda: None,
        "not_ready": list,
        "config_error": None,
        "reload_waits": lambda: None,
    }
    return SimpleNamespace(**usual | fields)


ALONE = RoutesKept(living=(("mine", NOW),))
TWO_OTHERS = RoutesKept(living=(("mine", NOW), ("newer", NOW + HOUR), ("newer", NOW + HOUR)))


@pytest.mark.parametrize(
    ("fields", "kept", "sentences"),
    [
        pytest.param({}, ALONE, [], id="all is well"),
        pytest.param(
            {}, TWO_OTHERS, ["2 of 3 replicas run another configuration than this one."], id="other configurations"
        ),
        pytest.param({}, RoutesKept(living=(("newer", NOW),)), [], id="this one has not reported yet"),
        pytest.param(
            {"config_error": "routes.yaml:3: no"},
            ALONE,
            ["routes.yaml on the disk was refused; the one loaded 1 h ago stays in force."],
            id="a refused file",
        ),
        pytest.param(
            {"reload_waits": lambda: "a pack is not here"},
            ALONE,
            ["The latest configuration waits; the one loaded 1 h ago stays in force."],
            id="a waiting file",
        ),
        pytest.param(
            {"ledger_figures": lambda: LedgerFigures(queued=7, oldest_age_s=300.0)},
            ALONE,
            ["The ledger has not reached the database for 5 min."],
            id="rows wait",
        ),
        pytest.param(
            {"ledger_figures": lambda: LedgerFigures(queued=7, oldest_age_s=20.0)}, ALONE, [], id="rows wait a moment"
        ),
        pytest.param(
            {"ledger_figures": lambda: LedgerFigures(dropped=1, refused=2)},
            ALONE,
            [
                "1 row is lost since this replica started: neither the journal nor the database took them.",
                "The database refused 2 rows.",
            ],
            id="rows are lost, rows are refused",
        ),
        pytest.param(
            {"ledger_waits": lambda: "ledger: full", "not_ready": lambda: ["ledger: full", "draining: stops"]},
            ALONE,
            ["The ledger takes no more rows, so new requests are refused.", "This replica asks for no traffic."],
            id="the ledger is full, and it stops",
        ),
    ],
)
def test_what_is_wrong_with_the_gateway_itself_is_said(
    fields: dict[str, Any], kept: RoutesKept, sentences: list[str]
) -> None:
    assert [note.text for note in notes_of(services(**fields), kept, NOW)] == sentences


def test_a_table_is_sorted_by_links_that_keep_the_question() -> None:
    rows = [{"name": "a", "cost": 2}, {"name": "b", "cost": None}, {"name": "c", "cost": 3}]

    def of(text: str | None) -> tuple[str, str]:
        sort = Sort.read(text, ("name", "cost"), falling_first=("cost",), kept=(("q", "x y"), ("none", "")))
        ordered = sort.applied(rows, lambda row: row[sort.key]) if sort.key else rows
        return "".join(str(row["name"]) for row in ordered), sort.link("cost")

    assert of(None) == ("abc", "?q=x+y&sort=-cost")
    assert of("-cost") == ("cab", "?q=x+y&sort=cost")
    assert of("cost") == ("acb", "?q=x+y&sort=-cost")
    assert of("-name") == ("cba", "?q=x+y&sort=-cost")
    assert of("nothing;") == ("abc", "?q=x+y&sort=-cost")


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (words.ms, 840.4, "840 ms"),
        (words.ms, 1240.0, "1.24 s"),
        (words.ms, 61_000.0, "61.0 s"),
        (words.ms, 150_000.0, "2.5 min"),
        (words.ms, 0.7, "0.7 ms"),
        (words.ms, None, "–"),
        (words.share, 0.0, "0%"),
        (words.share, 0.001, "<1%"),
        (words.share, 0.999, ">99%"),
        (words.share, 1.0, "100%"),
        (words.usd_per_1000, 620_000, "$0.62"),
        (words.usd_per_1000, None, "–"),
        (words.count, 12_345, "12,345"),
        (words.reason_words, "shutdown_reached", "shutdown"),
        (words.reason_words, "unheard_of", "unheard_of"),
        (words.model, "ft:gpt-4.1-mini-2025-04-14:acme:forum:A1b2C3d4", "forum · gpt-4.1-mini"),
        (words.model, "ft:gpt-4o-2024-08-06::triage:A1", "triage · gpt-4o"),
        (words.model, "gpt-6-luna", "gpt-6-luna"),
        (words.duration, timedelta(hours=47), "47 h"),
        (words.duration, timedelta(days=3, hours=2), "3 d"),
        (words.duration, timedelta(seconds=40), "40 s"),
    ],
)
def test_how_numbers_are_written(write: Any, value: Any, text: str) -> None:
    assert write(value) == text


@pytest.mark.parametrize(
    ("distance", "text"),
    [
        (timedelta(), "just now"),
        (timedelta(hours=-3), "3 h ago"),
        (timedelta(days=46), "in 46 d"),
        (timedelta(days=-200), "13 May 2026"),
    ],
)
def test_times_are_relative_as_long_as_that_tells_something(distance: timedelta, text: str) -> None:
    assert words.relative(NOW + distance, NOW) == text


# The view itself, over a real gateway.


async def left_by_others(template: Path, directory: Path) -> Path:
    """Return a database as other replicas have left it: a model is gone, and a person holds a route."""
    path = Path(shutil.copy(template, directory / "left.db"))
    database = await Database.open(f"sqlite:///{path}")
    store, then = StateStore(database, "another"), NOW - 3 * HOUR
    await store.move_target(("acme", TUNED), Availability.GONE, version=0, now=then)
    move = RouteMove("reply", Standing("luna", Reason.GONE), None, None)
    await store.move_routes([move], now=then, config_hash="x")
    await store.command("lasting", Command("luna", "trying it", "anna@desk", then, NOW + 24 * HOUR))
    await database.close()
    return path


async def test_trouble_stands_on_top_with_its_reason_and_the_healthy_rest_below(
    tmp_path: Path, empty_ledger: Path
) -> None:
    rows = [a_row(HOUR * number, duration_ms=1000.0, cost_nanousd=500_000) for number in range(1, 9)]
    rows += [on_luna(timedelta(minutes=number), cost_nanousd=1_500_000, ttft_ms=200.0) for number in (1, 2)]
    rows.append(a_row(HOUR, outcome=Outcome.FAILED, cost_nanousd=None, input_tokens=0, output_tokens=0))
    rows.append(a_row(30 * HOUR, cost_nanousd=10**12))
    left = await left_by_others(empty_ledger, tmp_path)
    async with viewed(tmp_path, left, rows, ROUTES | {"lifecycle": STOPS}) as gateway:
        page = await gateway.get("/ui")
    assert page.text.startswith(
        "Routes 2 of 3 routes answer as intended. 1 runs on its fallback: reply since 09:30 UTC (gone). "
        "1 more has moved as planned: lasting since "
    )
    names = re.findall(r'id="route-(\w+)"', page.html)
    assert names == ["reply", "lasting", "alone"]
    reply = page.row("reply")
    assert reply.startswith("reply support fallback luna-1 gone · 3 h ago 20% $0.70 ")
    assert "in 46 d" in reply
    assert "by anna@desk" in page.row("lasting")
    assert "anna@desk, until 30 Nov 12:30 UTC: trying it" in page.html
    assert page.row("alone").endswith("in 46 d no fallback")
    assert '<time datetime="2026-11-29T09:30:00+00:00" title="2026-11-29 09:30 UTC">3 h ago</time>' in page.html
    assert 'class="concern-unintended trouble"' in page.html, "told by more than colour: shape, word and place"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=SUPPORT", ["reply"]),
        ("q=own-model", ["lasting"]),
        ("q=primary+acme", ["alone", "lasting", "reply"]),
        ("q=nothing-like-it", []),
        ("sort=-name", ["reply", "lasting", "alone"]),
        ("sort=stops", ["alone", "reply", "lasting"]),
        ("q=&sort=bogus", ["alone", "lasting", "reply"]),
    ],
)
async def test_a_question_has_an_address(query: str, names: list[str], tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, (), ROUTES | {"lifecycle": STOPS}) as gateway:
        page = await gateway.get(f"/ui?{query}")
    found = re.findall(r'id="route-(\w+)"', page.html)
    assert found == names or sorted(found) == names
    if not names:
        assert "No route matches “nothing-like-it”." in page.text


async def test_an_empty_gateway_teaches(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        page = await gateway.get("/ui")
    assert "All 3 routes answer as intended." in page.text
    assert "Nobody has asked anything in the last 24 hours." in page.text
    assert f"curl http://127.0.0.1:{gateway.served.port}/v1/chat/completions" in page.text


async def test_without_the_database_the_page_says_what_this_replica_knows(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        gateway.away()
        page = await gateway.get("/ui")
        detail = await gateway.get("/ui/routes/reply")
    for shown in (page, detail):
        assert shown.status == 200
        assert "The database is away." in shown.text
        assert "nothing was kept in" in shown.text
    assert "All 3 routes answer as intended." in page.text
    assert "The primary answers, as it should." in detail.text
    assert "never" not in page.text, "what is not known is not said"


def of_keys(kept: RoutesKept) -> Mapping[str, Any]:
    return {name: (day.requests, day.failed, day.on_fallback, day.per_request) for name, day in kept.days.items()}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, empty_ledger: Path) -> str:
    """A migrated and empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(empty_ledger, tmp_path / 'ledger.db')}"
    server: RunningPostgres = request.getfixturevalue("postgres")
    return server.migrated_database()


async def test_the_last_day_is_read_the_same_from_either_database(url: str) -> None:
    """On SQLite and PostgreSQL: whole hours of totals, and of live requests alone."""
    database = await Database.open(url)
    since, until = last_day(NOW)
    rows = [
        a_row(NOW - since, cost_nanousd=100),
        a_row(NOW - since + timedelta(seconds=1), cost_nanousd=10**9),
        a_row(timedelta(), cost_nanousd=300),
        on_luna(timedelta(), cost_nanousd=800, ttft_ms=100.0),
        a_row(timedelta(), kind="rehearsal", cost_nanousd=10**9),
        a_row(timedelta(), pinned=True, cost_nanousd=10**9),
    ]
    await UsageStore(database).insert_attempts(rows)
    kept = await read_routes(database, NOW)
    route = await read_route(database, "reply", NOW)
    await database.close()
    assert (since, until) == (datetime(2026, 11, 28, 12, tzinfo=UTC), datetime(2026, 11, 29, 13, tzinfo=UTC))
    assert of_keys(kept) == {"reply": (3, 0, 1 / 3, 400)}
    assert kept.days["reply"].p95_ms == pytest.approx(1000, rel=0.02)
    assert kept.days["reply"].first_token_p95_ms == pytest.approx(100, rel=0.02)
    assert kept.living == ()
    assert [
        (day.day.day, day.primary, day.fallback, day.cost_nanousd, day.fallback_nanousd) for day in days_of(route)
    ] == [
        (28, 2, 0, 10**9 + 100, 0),
        (29, 1, 1, 1100, 800),
    ]
