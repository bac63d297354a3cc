"""Reads what a report is made of from the database, and has it made."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.learning.known import Known, known_of
from gateway.reasons import Availability

if TYPE_CHECKING:
    from gateway.config.routes import Route, Routes
    from gateway.lifecycle.break_even import BreakEvenFinding
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.report_figures import Period, Report
    from gateway.policy.usage import LabelCell, Used
    from gateway.providers.prices import PriceBook
    from gateway.store.database import Database
    from gateway.store.report import ReportStore


_TIMES = ("duration_ms", "ttft_ms", "overhead_ms")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command was asked for."""

    routes: tuple[str, ...]
    """Empty: all."""
    period: "Period"
    by: str | None
    break_even: bool
    times: bool = True
    """Whether percentiles are shown: reading them takes most of the time."""


@dataclass(frozen=True, slots=True)
class Read:
    """What came of it."""

    report: "Report | None" = None
    """None: nothing was kept in the database yet, or routes are unknown."""
    nothing_kept_in: str | None = None
    """The database, where it has no ledger, or an empty one; its password hidden."""
    unknown: str | None = None
    """A route that neither routes.yaml nor the ledger knows."""
    names: frozenset[str] = frozenset()
    """Those that they do, where one is unknown."""


async def read(url: str, wanted: Wanted, routes: "Routes | None") -> Read:
    """Make the report. May raise ``DatabaseUnavailable``.

    Raises:
        ConfigError: a pack that the routes name is damaged, or holds another customer's examples.
    """
    from gateway.store.database import Database, to_async_url, where

    names = frozenset(routes.routes) if routes is not None else frozenset()
    opened = await Database.open_existing(url)
    if opened is None:
        return Read(nothing_kept_in=where(to_async_url(url)), unknown=_unknown(wanted.routes, names), names=names)
    try:
        return await _read(opened, wanted, routes, names)
    finally:
        await opened.close()


async def _read(database: "Database", wanted: Wanted, routes: "Routes | None", names: frozenset[str]) -> Read:
    from gateway.store.database import where
    from gateway.store.ledger_status import LedgerStatus
    from gateway.store.report import ReportStore

    store = ReportStore(database)
    if _unknown(wanted.routes, names) is not None:
        names |= await store.routes()
        if (unknown := _unknown(wanted.routes, names)) is not None:
            return Read(unknown=unknown, names=names)
    lacking = await LedgerStatus(database).lacks_totals_since()
    period = replace(wanted.period, began=await store.began(), lacks_totals_since=lacking)
    known = await known_of(database, routes=routes)
    made = await _report(database, store, replace(wanted, period=period), known, routes)
    is_empty = period.began is None and lacking is None
    return Read(made, where(database.engine.url) if is_empty else None)


async def _report(
    database: "Database", store: "ReportStore", wanted: Wanted, known: Known, routes: "Routes | None"
) -> "Report":
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.report import report
    from gateway.providers.prices import PriceBook
    from gateway.store.states import StateStore

    period = wanted.period
    standings = (await StateStore(database, "").read(period.now)).routes
    days, spread = wanted.by == "day", _TIMES if wanted.times else ()
    spread = (*spread, "cost_sketch") if wanted.break_even else spread
    used = await store.used(period.since, period.until, now=period.now, routes=wanted.routes, days=days, spread=spread)
    labels = await _labels(store, wanted)
    served = known.as_served(routes) if routes is not None else None
    book = PriceBook.for_routes(served, period.now.date()) if served is not None else None
    made = report(used, period, routes=served, book=book, standings=standings, dimension=wanted.by, labels=labels)
    if not wanted.break_even or served is None or book is None:
        return made
    asker = BreakEvenAsker(store, period, used, Calendar(served, known.published), book, known)
    found = {use.name: await asker.find(use.route) for use in made.routes if use.route is not None}
    return replace(made, routes=tuple(replace(use, break_even=found.get(use.name)) for use in made.routes))


async def _labels(store: "ReportStore", wanted: Wanted) -> "Sequence[LabelCell]":
    period, dimension = wanted.period, (wanted.by or "").partition(":")[0]
    if dimension == "key":
        return await store.labels(period.since, period.until, "key", routes=wanted.routes)
    if dimension == "tag":
        return await store.labels(period.since, period.until, "tag", routes=wanted.routes)
    return ()


@dataclass(frozen=True, slots=True)
class BreakEvenAsker:
    """Asks the ledger what a route's break-even needs beside the report's own figures."""

    store: "ReportStore"
    period: "Period"
    used: "Used"
    calendar: "Calendar"
    book: "PriceBook"
    known: Known

    async def find(self, route: "Route") -> "BreakEvenFinding":
        """Say whether a route's fine-tune pays for itself. May raise ``DatabaseUnavailable``."""
        from gateway.lifecycle import break_even

        primary, fallback = route.primary, next(iter(route.fallbacks), None)
        live = [cell for cell in self.used.cells if cell.route == route.name and cell.kind == "live"]
        sides = break_even.sides_of(route, self.used)
        end = self.period.end
        seen = self.known.targets.get((primary.provider.name, primary.model)) if primary is not None else None
        served = await self.store.ever_served(route.name)
        present = break_even.present(route, served)
        return break_even.find(
            route,
            break_even.Known(
                primary=sides[0],
                fallback=sides[1],
                pairs=await self._pairs(route) if fallback is not None else (),
                requests=sum(cell.requests for cell in live),
                since=max(self.period.since, min((cell.first_at for cell in live), default=self.period.since)),
                until=end,
                served=sum(count for model, count in served.items() if model in present),
                primary_price=self.book.lookup(primary.provider.name, primary.model) if primary else None,
                fallback_price=self.book.lookup(fallback.provider.name, fallback.model) if fallback else None,
                shutdown=self.calendar.dates_of(primary).shutdown if primary is not None else None,
                is_gone=seen is not None and seen.availability in (Availability.GONE, Availability.NO_ACCESS),
            ),
        )

    async def _pairs(self, route: "Route") -> tuple[int, ...]:
        from gateway.lifecycle.break_even import MOST_PAIRS, PAIRS_WITHIN

        fallback, end = route.fallbacks[0], self.period.end
        version = fallback.prompt.version if fallback.prompt is not None else None
        since = end - PAIRS_WITHIN
        return tuple(await self.store.pair_costs(route.name, fallback.name, version, since, end, limit=MOST_PAIRS))


def _unknown(wanted: Collection[str], names: Collection[str]) -> str | None:
    return next((name for name in wanted if name not in names), None)
