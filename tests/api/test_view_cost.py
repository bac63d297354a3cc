"""The cost page's figures are the ledger's, and what has no price is never free."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from viewed_gateway import HOSTILE, ROUTES, a_row, on_luna, viewed

from gateway.ledger.entry import Entry
from gateway.reasons import FailureKind, Outcome, Reason

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CENT = 10_000_000
NOTHING = {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0}
TOKENS = {"input_tokens": 1000, "cached_input_tokens": 250, "output_tokens": 100}


def a_week() -> Iterator[Entry]:
    """Forty requests on the primary at a cent each, ten on the fallback at three, and one without a price."""
    for number in range(40):
        yield a_row(DAY + number * HOUR / 10, cost_nanousd=CENT, team="support", key="web", **TOKENS)
    for number in range(10):
        ago = 2 * HOUR + number * HOUR / 10
        yield a_row(ago, outcome=Outcome.FAILED, failure=FailureKind.MODEL_GONE, cost_nanousd=0, **NOTHING)
        yield on_luna(ago - timedelta(seconds=2), cost_nanousd=3 * CENT, reason=Reason.GONE, tags={"feature": "search"})
    yield a_row(3 * HOUR, route="lasting", model_asked="own-model", model_answered="own-model", cost_nanousd=None)
    yield on_luna(HOUR, kind="rehearsal", reason=Reason.REHEARSAL, cost_nanousd=7 * CENT)


async def test_each_route_has_its_cost_by_target(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, list(a_week())) as gateway:
        page = await gateway.get("/ui/cost")
    assert page.status == 200
    assert "In the last 7 days and today, 51 requests to 2 routes cost at least $0.70." in page.text
    assert "1 attempt has no price, and may have cost more. Fallbacks answered 20%." in page.text
    assert page.row("reply $") == "reply $0.70 100% $14.00 50 10 52,000 25% 5,500 –"
    assert page.row("primary") == "primary reply · base-1 $0.40 57% $10.00 40 10 40,000 25% 4,000 –"
    assert page.row("fallback luna (luna-1)").startswith("fallback luna (luna-1) $0.30 43% $30.00 10 0 12,000")
    assert page.row("lasting") == "lasting unpriced – – 1 0 1,200 25% 150 1"
    assert page.row("all").startswith("all ≥$0.70 100% $14.00 51")


async def test_what_fallbacks_and_learning_cost_stands_apart(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, list(a_week())) as gateway:
        page = await gateway.get("/ui/cost")
    assert page.row("reply +") == "reply +$0.20 measured, on the primary's other requests 20% 10 gone 10"
    assert page.row("rehearsal") == "rehearsal 1 $0.07"
    assert "reply Never: the fine-tune saves nothing" in page.text.partition("pay for itself?")[2]


async def test_days_are_bars_with_a_table(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, list(a_week())) as gateway:
        page = await gateway.get("/ui/cost?days=1")
    assert page.main.count('class="on-primary"') == 2
    assert page.row("2026-11-28") == "2026-11-28 $0.40 $0 40"
    assert page.row("2026-11-29") == "2026-11-29 ≥$0.30 $0.30 11"


BY = {
    "team": "support $0.40 57%",
    "target": "acme: ft:base-1:acme:reply:A1 $0.40 57%",
    "model": "luna-1 $0.30 43%",
    "day": "2026-11-28 $0.40 57%",
    "key": "web $0.40 57%",
    "tag": "feature=search $0.30 43%",
}


async def test_costs_are_known_by_six_more_dimensions(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, list(a_week())) as gateway:
        for by, first in BY.items():
            assert (await gateway.get(f"/ui/cost?by={by}")).row(first).startswith(first)
            text = (await gateway.get(f"/ui/cost.csv?by={by}")).html
            rows = {row[by]: row for row in csv.DictReader(io.StringIO(text))}
            label, cost = first.split(" $")[0], first.split(" $")[1].split(" ")[0]
            assert rows[label]["cost_usd"].rstrip("0") == cost.rstrip("0"), "the same figure as on the page"


async def test_a_spreadsheet_gets_no_formulas_and_unpriced_as_a_word(tmp_path: Path, empty_ledger: Path) -> None:
    marks = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", 'a"b,c', "a;=1+1", "\x1b[31m\u2028\t")
    rows = [a_row(HOUR, team=mark, cost_nanousd=None if mark == "+1+1" else CENT) for mark in marks]
    async with viewed(tmp_path, empty_ledger, rows) as gateway:
        answer = await gateway.get("/ui/cost.csv?by=team")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="cost-7d-by-team.csv"'
    found = {row["team"]: row for row in csv.DictReader(io.StringIO(answer.html, newline=""))}
    assert set(found) == {*(f"'{mark}" for mark in marks[:4]), *marks[4:6], r"\x1b[31m\u2028\t"}
    assert '\n"a;=1+1",' in answer.html, "in quotes: some spreadsheets part cells at semicolons"
    assert (found["'+1+1"]["cost_usd"], found["'@SUM(A1)"]["cost_usd"]) == ("unpriced", "0.01")


async def test_words_of_the_ledger_do_no_harm(tmp_path: Path, empty_ledger: Path) -> None:
    named = dict.fromkeys(("route", "target", "provider", "model_asked", "model_answered", "team", "key"), HOSTILE)
    rows = [a_row(HOUR, **named, tags={HOSTILE: HOSTILE}), on_luna(HOUR, **named), on_luna(HOUR, kind="probe", **named)]
    async with viewed(tmp_path, empty_ledger, rows) as gateway:
        for by in ("route", "team", "target", "model", "day", "key", "tag"):
            page = await gateway.get(f"/ui/cost?by={by}")
            assert page.status == 200
            assert "<script>alert" not in page.html
            assert "<img" not in page.html
            assert " style=" not in page.html
            assert by == "day" or HOSTILE in page.text


async def test_what_cannot_be_asked_is_refused(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        for asked in ("days=-1", "days=1000", "days=week", "by=provider", f"by={HOSTILE}"):
            for path in ("/ui/cost", "/ui/cost.csv"):
                page = await gateway.get(f"{path}?{asked}")
                assert page.status == 400, asked
                assert "<script>alert" not in page.html


async def test_an_empty_ledger_and_one_that_is_away_say_what_to_do(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, (), ROUTES) as gateway:
        page = await gateway.get("/ui/cost")
        assert "Nothing was asked in the last 7 days." in page.text
        assert "gateway try ROUTE" in page.text
        gateway.away()
        page = await gateway.get("/ui/cost?days=30")
        assert page.status == 200
        assert "The database is away." in page.text
        assert (await gateway.get("/ui/cost.csv?days=30")).status == 503
