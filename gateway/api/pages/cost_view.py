"""The costs: what does each route cost, on which target?"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from gateway.api.deps import Services, services_of
from gateway.api.pages.cost_figures import (
    BY,
    BreakEvenLine,
    CostLink,
    CostView,
    bars_of,
    csv_of,
    fallbacks_of,
    lead_of,
    learning_of,
    lines_of,
    shown,
    total_of,
    words_of,
)
from gateway.api.pages.frame import HEADERS, Page, PageError, Said, render
from gateway.learning.known import known_of
from gateway.learning.report_reading import BreakEvenAsker
from gateway.lifecycle.break_even_words import answer
from gateway.lifecycle.report import report
from gateway.lifecycle.report_figures import Period, Report
from gateway.policy.lifecycle import midnight
from gateway.policy.usage import Cell, Dimension, LabelCell, Used
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.ledger_status import LedgerStatus
from gateway.store.report import ReportStore

router = APIRouter(route_class=Page)
DAYS: Final = 7
LONGEST_DAYS: Final = 400
PERIODS: Final = ((0, "today"), (7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year"))
BREAK_EVEN_KEPT_S: Final = 600.0
"""Each route's asks all daily totals, and pairs of rehearsals."""
BREAK_EVEN_WAITED_S: Final = 2.0


@router.get("/cost")
async def cost(request: Request) -> Response:
    """Show what was paid in some days, by one dimension."""
    days, by = _days(request.query_params.get("days")), _by(request.query_params.get("by"))
    view = await read(services_of(request), days, by)
    return await render(request, "cost.html", view, "Cost")


@router.get("/cost.csv")
async def cost_as_csv(request: Request) -> Response:
    """Return the table's figures for a spreadsheet."""
    services = services_of(request)
    days, by = _days(request.query_params.get("days")), _by(request.query_params.get("by"))
    try:
        made, _ = await _read(services, days, by)
    except DatabaseUnavailable as error:
        raise PageError(503, Said("The database is away", (str(error),))) from None
    headers = {**HEADERS, "content-disposition": f'attachment; filename="cost-{days}d-by-{by}.csv"'}
    return Response(csv_of(lines_of(made, by), by), 200, headers, media_type="text/csv; charset=utf-8")


async def read(services: Services, days: int, by: str) -> CostView:
    """Report the last days and today, as ``gateway report`` does."""
    away, note = "", ""
    break_even: tuple[BreakEvenLine, ...] = ()
    try:
        made, cells = await _read(services, days, by)
        break_even, note = await _break_even(services, days)
    except DatabaseUnavailable as error:
        away = str(error)
        made, cells = _report(services, _period(services, days), by, (), ()), ()
    lines = lines_of(made, by)
    kept = shown(lines)
    first = made.period.since.date()
    span = [first + timedelta(days=number) for number in range((made.period.now.date() - first).days + 1)]
    bars = bars_of(cells, span)
    late, notes = words_of(made)
    return CostView(
        days,
        by,
        "What was paid is kept in the database." if away else lead_of(made, days),
        late if not away else "",
        tuple(CostLink(word, _href(number, by), number == days) for number, word in PERIODS),
        tuple(CostLink(word, _href(days, name), name == by) for name, word in BY.items()),
        _href(days, by, path="/ui/cost.csv"),
        tuple(kept),
        len(lines) - len(kept),
        total_of(made) if lines else None,
        tuple(bars) if any(bar.totals.attempts for bar in bars) else (),
        max(bars, key=lambda bar: bar.totals.cost_nanousd).mark if bars else "",
        tuple(fallbacks_of(made)),
        tuple(learning_of(made)),
        break_even,
        note,
        notes if lines else (),
        made.is_empty and not away,
        away,
    )


async def _read(services: Services, days: int, by: str) -> tuple[Report, tuple[Cell, ...]]:
    """Return the report, and the days' cells it is made of. May raise ``DatabaseUnavailable``."""
    period = _period(services, days)

    async def ask(database: Database) -> tuple[Report, tuple[Cell, ...]]:
        store = ReportStore(database)
        whole = replace(
            period, began=await store.began(), lacks_totals_since=await LedgerStatus(database).lacks_totals_since()
        )
        used = await store.used(period.since, period.until, now=period.now, days=True, spread=())
        labelled: Dimension | None = "key" if by == "key" else "tag" if by == "tag" else None
        labels = await store.labels(period.since, period.until, labelled) if labelled else ()
        return _report(services, whole, by, used.cells, labels), used.cells

    return await services.pages.read(("cost", days, by, services.pipeline.snapshot.config_hash), ask)


def _report(services: Services, period: Period, by: str, cells: Sequence[Cell], labels: Sequence[LabelCell]) -> Report:
    snapshot = services.pipeline.snapshot
    return report(
        Used(tuple(cells), {}, is_cut=False),
        period,
        routes=snapshot.routes,
        book=snapshot.price_book,
        dimension=None if by == "route" else by,
        labels=labels,
    )


async def _break_even(services: Services, days: int) -> tuple[tuple[BreakEvenLine, ...], str]:
    """Say of each fine-tune whether it pays for itself, or why that is not known (yet)."""
    period, snapshot = _period(services, days), services.pipeline.snapshot
    tuned = [route for route in snapshot.routes.routes.values() if route.primary is not None and route.fallbacks]

    async def ask(database: Database) -> tuple[BreakEvenLine, ...]:
        store = ReportStore(database)
        used = await store.used(period.since, period.until, now=period.now, spread=("cost_sketch",))
        known = await known_of(database)
        asker = BreakEvenAsker(store, period, used, snapshot.calendar, snapshot.price_book, known)
        found = [(route.name, await asker.find(route)) for route in tuned]
        return tuple(BreakEvenLine(name, answer(finding)) for name, finding in found)

    reading = services.pages.read(("break even", days, snapshot.config_hash), ask, fresh_s=BREAK_EVEN_KEPT_S)
    try:
        return await asyncio.wait_for(reading, BREAK_EVEN_WAITED_S), ""
    except TimeoutError:
        return (), "It is still being reckoned, and follows in a moment."
    except DatabaseUnavailable as error:
        return (), f"It could not be reckoned: {error}."


def _period(services: Services, days: int) -> Period:
    """Return so many days and today: whole days, so that totals alone are read."""
    now = services.clock.now()
    until = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return Period(midnight((now - timedelta(days=days)).date()), until, now)


def _href(days: int, by: str, *, path: str = "/ui/cost") -> str:
    """Return the address of a table; what is usual is left out of it."""
    said = {"days": str(days)} if days != DAYS else {}
    said |= {"by": by} if by != "route" else {}
    return f"{path}?{urlencode(said)}" if said else path


def _days(said: str | None) -> int:
    if not said:
        return DAYS
    days = int(said) if said.isascii() and said.isdigit() and len(said) <= 3 else -1
    if not 0 <= days <= LONGEST_DAYS:
        raise PageError(400, Said("No such period", (f"Name 0 to {LONGEST_DAYS} days, such as ?days=30.",)))
    return days


def _by(said: str | None) -> str:
    if not said:
        return "route"
    if said not in BY:
        raise PageError(400, Said("No such dimension", (f"Costs are known by {', '.join(BY)}.",)))
    return said
