"""One route: why this target, and would the other one do?"""

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from viewed_gateway import HOSTILE, NOW, ROUTES, STOPS, TUNED, a_row, on_luna, viewed

from gateway.api.pages.charts import Amount, columns, compared
from gateway.api.pages.route_figures import LEAST_PAIRS, mean_of, rehearsed
from gateway.ledger.entry import new_attempt_id
from gateway.policy.announcements import Event
from gateway.policy.standing import Standing
from gateway.reasons import Availability, EventKind, Outcome, Reason
from gateway.store.database import Database
from gateway.store.rehearsals import Pair, RehearsalStore
from gateway.store.states import RouteMove, StateStore

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STOPPING = ROUTES | {"lifecycle": STOPS}
LATER = STOPPING | {
    "defaults": ROUTES["defaults"] | {"cutover": {"days_before": 14, "ramp_days": 7}},
    "routes": ROUTES["routes"]
    | {"held": {"primary": {"model": "ft:base-1:acme:held:A3", "base": "base-1"}, "cutover": {"at": "gone"}}},
}


def a_pair(number: int, cost: int | None, ttft_ms: float | None = None) -> Pair:
    at = new_attempt_id(NOW - number * HOUR)
    return Pair(at, f"req-{number}", "reply", "luna", None, cost, -100.0, ttft_ms, 0.9)


async def filled(template: Path, directory: Path, *, pairs: int = 0) -> Path:
    """Return a database in which the primary of ``reply`` is gone, told by events, beside rehearsals."""
    path = Path(shutil.copy(template, directory / "filled.db"))
    database = await Database.open(f"sqlite:///{path}")
    store, then = StateStore(database, "another"), NOW - 3 * HOUR
    await store.move_target(("acme", TUNED), Availability.GONE, version=0, now=then)
    text = f"reply moved from {TUNED} to luna-1: {HOSTILE}"
    moved = Event(
        new_attempt_id(then), then, EventKind.CUTOVER, Reason.GONE, "reply", "support", "acme", TUNED, "primary",
        "luna", "another", text,
    )  # fmt: skip
    await store.move_routes([RouteMove("reply", Standing("luna", Reason.GONE), None, moved)], now=then, config_hash="x")
    await RehearsalStore(database).keep([a_pair(number, 1_000_000 + number, 50.0) for number in range(pairs)])
    await database.close()
    return path


async def test_a_route_on_its_fallback_says_why_since_when_and_what_it_costs(
    tmp_path: Path, empty_ledger: Path
) -> None:
    rows = [a_row(DAY * 2 + HOUR * number, cost_nanousd=500_000, duration_ms=1000.0) for number in range(40)]
    rows += [on_luna(HOUR * number, cost_nanousd=2_000_000, duration_ms=2000.0) for number in range(1, 4)]
    rows.append(a_row(2 * DAY, outcome=Outcome.FAILED, cost_nanousd=None, input_tokens=0, output_tokens=0))
    async with viewed(tmp_path, await filled(empty_ledger, tmp_path, pairs=40), rows, STOPPING) as gateway:
        page = await gateway.get("/ui/routes/reply")
    text = page.text
    assert page.status == 200
    assert text.startswith("Routes reply support The fallback luna answers since 09:30 UTC: the primary is gone.")
    assert "The plan now luna luna-1 at other, because: gone" in text
    assert f"not primary {TUNED} at acme: gone" in text
    assert "The plan of 14 January 2027" in text, "the day that matters is chosen, unless another is asked for"
    assert "because: shutdown" in text
    assert "primary answered 40 requests; luna answered 3 requests: too few to say much." in text
    assert page.row("luna luna-1").startswith("luna luna-1 7% 3 ")
    assert page.row("primary ft:").endswith("2%"), "failed attempts"
    assert "$0.50" in page.row("primary ft:")
    assert "40 requests that luna answered, too" in text
    assert page.row("cost of 1,000") == "cost of 1,000 +$1.00 +$1.00 to +$1.00"
    assert page.row("until the end") == "until the end −100 ms −100 ms to −100 ms"
    assert "3 h ago cutover moved from its primary to luna-1: <script>alert(1)" in text
    assert "<script>alert" not in page.html
    assert "too little data" not in text
    assert re.search(r'<rect class="fallback" x="[\d.]+" y="[\d.]+" width="[\d.]+" height="[\d.]+"/>', page.html)
    assert "gateway evaluate reply" in text
    assert page.links("/ui/requests?route=reply")


async def test_a_healthy_route_says_what_stops_and_who_takes_over(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, (), LATER) as gateway:
        reply, held = await gateway.get("/ui/routes/reply"), await gateway.get("/ui/routes/held")
        alone, lasting = await gateway.get("/ui/routes/alone"), await gateway.get("/ui/routes/lasting")
        ramping = await gateway.get("/ui/routes/reply?at=2026-12-28")
        before = await gateway.get("/ui/routes/reply?at=2026-12-01")
    assert "The primary answers, as it should. Its primary stops on 14 January 2027, in 46 d; then luna" in reply.text
    assert "That day is planned; routes.yaml" in reply.text
    assert "takes over once it is gone." in held.text
    assert "nobody takes over." in alone.text
    assert "There is no fallback." in alone.text
    assert "lasting billing The primary answers, as it should. The plan now" in lasting.text, "no date is known"
    assert (
        "The plan of 28 December 2026, by dates alone luna luna-1 at other, because: deprecated, ramping"
        in ramping.text
    )
    assert "57% of conversations have moved by then" in ramping.text
    assert 'value="2026-12-28"' in ramping.html
    assert "The plan of 1 December 2026, by dates alone primary" in before.text
    assert "No figures yet." in reply.text
    assert "No rehearsals yet." in reply.text
    assert "99% of requests are not answered with a 5xx" in reply.text
    assert "nothing counted yet" in reply.text


async def test_a_day_that_is_none_is_said_and_the_rest_still_shown(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, (), STOPPING) as gateway:
        for at in ("soon", "2027-02-30", "0001-01-01", HOSTILE):
            answer = await gateway.served.client.get("/ui/routes/reply", params={"at": at})
            assert answer.status_code == 200
            assert 'role="alert"' in answer.text
            assert 'aria-invalid="true"' in answer.text
            assert "The plan now" in answer.text


async def test_an_unknown_route_names_those_that_are_spelt_like_it(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        near, far = await gateway.get("/ui/routes/repyl"), await gateway.get("/ui/routes/zzz")
    assert (near.status, far.status) == (404, 404)
    assert near.links("/ui/routes/") == ["/ui/routes/reply"]
    assert "No such route" in near.text
    assert far.links("/ui") == ["/ui"]
    assert '<nav aria-label="Views">' in far.html, "in the frame"


async def test_objectives_stand_at_what_this_replica_has_counted(tmp_path: Path, empty_ledger: Path) -> None:
    slo = {"availability": 0.995, "intended": 0.9, "first_token_s": 2.0}
    routes = ROUTES | {"defaults": ROUTES["defaults"] | {"slo": slo}}
    rows = [a_row(HOUR, stream=True, ttft_ms=3000.0)]
    async with viewed(tmp_path, empty_ledger, rows, routes) as gateway:
        # Nobody listens at these providers: what is asked fails.
        assert (await gateway.served.chat("reply")).status_code == 502
        page = await gateway.get("/ui/routes/reply")
    assert page.row("99.5% of requests") == "99.5% of requests are not answered with a 5xx 0% missed of 1"
    assert page.row("90% of answers").endswith("nothing counted yet")
    assert re.search(r"95% of streams begin within 2 s 3\.0\d s missed", page.row("95% of streams"))


# Figures and charts.


def amounts(*values: float) -> list[Amount]:
    return [
        Amount((NOW + number * DAY).date(), (("primary", value), ("fallback", 0.0)), str(value), f"{value:g}")
        for number, value in enumerate(values)
    ]


def test_columns_begin_at_zero_and_tell_the_last_value() -> None:
    chart = columns(amounts(50, 0, 100, 25))
    assert chart is not None
    heights = [[height for _, _, height in column.parts] for column in chart.columns]
    assert heights == [[48.0], [], [96.0], [24.0]], "a day without anything is a gap"
    assert all(y + height == 112.0 for column in chart.columns for _, y, height in column.parts)
    assert (chart.most, chart.last, chart.last_y) == ("100", "25", 88.0)
    assert chart.ticks[0] == (pytest.approx(8.9, abs=0.1), "29 Nov")
    assert columns(amounts(0, 0)) is None
    assert columns([]) is None


def test_what_is_compared_has_one_scale() -> None:
    rows = compared(
        "p95", [("primary", "primary", 50.0, "50"), ("fallback", "luna", 100.0, "100"), ("x", "y", None, "–")]
    )
    assert [part for _, _, part, _ in rows.rows] == [0.5, 1.0, None]


def test_few_pairs_have_no_interval() -> None:
    few, many = mean_of([1.0, 3.0]), mean_of([1.0, 3.0] * LEAST_PAIRS)
    assert few is not None and many is not None
    assert (few.value, few.low) == (2.0, None)
    assert many.low is not None and many.high is not None
    assert 1.7 < many.low < 2.0 < many.high < 2.3
    assert mean_of([]) is None


def test_rehearsals_of_the_latest_target_are_added_up() -> None:
    assert rehearsed([]) is None
    old = Pair("0", "r", "reply", "former", None, 5, 1.0, None, None)
    found = rehearsed([old, a_pair(2, 10), a_pair(1, None)])
    assert found is not None
    assert (found.pairs, found.target) == (2, "luna")
    assert found.cost_nanousd is not None and found.cost_nanousd.value == 10.0
    assert found.first_token_ms is None
