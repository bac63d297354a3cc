"""What the cost page says of a period: a table by one dimension, what fallbacks cost more, and the days as bars."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from gateway.config.findings import printable
from gateway.lifecycle.forecast_words import counted, percent, signed
from gateway.lifecycle.report_figures import FallbackUse, Report, RouteUse, TargetUse, Totals
from gateway.lifecycle.report_words import begins_late, cost, notes
from gateway.policy.usage import Cell
from gateway.reasons import Role

BY: Final[Mapping[str, str]] = {
    "route": "route",
    "team": "team",
    "target": "target",
    "model": "model",
    "day": "day",
    "key": "key",
    "tag": "tag",
}
MOST_LINES: Final = 70
"""On the page, which is to stay small; the CSV has all."""
MOST_MARKED: Final = 16
"""Bars that have their amount written above each."""
HEIGHT: Final = 96.0
WIDTH: Final = 960.0
_FOOT: Final = 18.0
_HEAD: Final = 16.0


@dataclass(frozen=True, slots=True)
class CostLine:
    """One row of the table. Money in nano-dollars."""

    label: str
    totals: Totals
    cost: str
    """In words: "unpriced" where nothing has a price, "≥" where something has none."""
    share: float | None
    """Of the cost of all; None: nothing of it has a price."""
    route: str = ""
    """Where it is one: what links lead to."""
    role: Role | None = None
    """Of a target's line below its route's."""

    @property
    def per_request(self) -> Decimal | None:
        """Nano-dollars a request; None: none has a price."""
        return self.totals.per_request

    @property
    def cached_share(self) -> float | None:
        """Of the input tokens; None: there are none."""
        tokens = self.totals.input_tokens
        return self.totals.cached_input_tokens / tokens if tokens else None


@dataclass(frozen=True, slots=True)
class FallbackLine:
    """What it cost that a fallback answered for a route."""

    route: str
    requests: int
    share: float
    reasons: str
    extra: str
    how: str


@dataclass(frozen=True, slots=True)
class LearningLine:
    """What was asked to learn, of one kind."""

    kind: str
    attempts: int
    cost: str


@dataclass(frozen=True, slots=True)
class DayBar:
    """One day: what primaries and fallbacks cost, and where that is drawn."""

    day: date
    totals: Totals
    fallback_nanousd: int
    x: float
    width: float
    top: float
    """Where the bar begins, from above; it ends at the axis."""
    split: float
    """Where the fallbacks' part ends and the primaries' begins."""
    is_marked: bool
    mark: str
    word: str


@dataclass(frozen=True, slots=True)
class CostLink:
    """A link to the same page by another dimension, or of another period."""

    word: str
    href: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class BreakEvenLine:
    """Whether a route's fine-tune pays for itself."""

    route: str
    answer: str


@dataclass(frozen=True, slots=True)
class CostView:
    """What the page shows."""

    days: int
    by: str
    lead: str
    late: str
    periods: tuple[CostLink, ...]
    dimensions: tuple[CostLink, ...]
    csv: str
    lines: tuple[CostLine, ...]
    left_out: int
    """Lines that are not shown, of very many."""
    total: CostLine | None
    bars: tuple[DayBar, ...]
    most: str
    """The largest day's cost."""
    fallbacks: tuple[FallbackLine, ...]
    learning: tuple[LearningLine, ...]
    break_even: tuple[BreakEvenLine, ...]
    break_even_note: str
    notes: tuple[str, ...]
    is_empty: bool
    away: str = ""


def lines_of(report: Report, by: str) -> list[CostLine]:
    """Return the table's rows, the dearest first; of a route those of its targets below it."""
    whole = report.totals.cost_nanousd
    if by != "route":
        return [_line(line.label, line.totals, whole) for line in report.lines]
    lines = []
    for use in sorted(report.routes, key=lambda use: (-use.totals.cost_nanousd, -use.totals.attempts, use.name)):
        if not use.targets:
            continue
        lines.append(_line(use.name, use.totals, whole, route=use.name))
        if len(use.targets) > 1 or use.targets[0].role is Role.FALLBACK:
            lines += [_of_target(use, target, whole) for target in use.targets]
    return lines


def shown(lines: Sequence[CostLine]) -> list[CostLine]:
    """Return what the page has room for: of too many lines, targets of the cheapest routes are left out first."""
    kept = list(lines)
    for line in reversed(lines):
        if len(kept) <= MOST_LINES:
            break
        if line.role is not None:
            kept.remove(line)
    return kept[:MOST_LINES]


def total_of(report: Report) -> CostLine:
    """Return the row below the table."""
    return _line("all", report.totals, report.totals.cost_nanousd)


def _of_target(use: RouteUse, target: TargetUse, whole: int) -> CostLine:
    who = target.answerer
    label = who.model if who.target in ("primary", who.model) else f"{who.target} ({who.model})"
    return _line(label, target.totals, whole, route=use.name, role=target.role)


def _line(label: str, totals: Totals, whole: int, *, route: str = "", role: Role | None = None) -> CostLine:
    known = bool(totals.cost_nanousd) or not totals.unpriced
    share = totals.cost_nanousd / whole if whole and known else None
    return CostLine(label, totals, cost(totals), share, route, role)


def fallbacks_of(report: Report) -> list[FallbackLine]:
    """Return what fallbacks cost more, by route; the dearest first."""
    found = [(use, use.fallback) for use in report.routes if use.fallback is not None]
    found.sort(key=lambda pair: (-(pair[1].extra.nanousd if pair[1].extra else 0), pair[0].name))
    return [_fallback(use, fallback) for use, fallback in found]


def _fallback(use: RouteUse, fallback: FallbackUse) -> FallbackLine:
    reasons = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in fallback.reasons.items())
    share = fallback.requests / fallback.of if fallback.of else 0.0
    extra = fallback.extra
    if extra is None:
        no_primary = use.route is not None and use.route.primary is None
        how = "there is no primary to compare with" if no_primary else "a price is missing"
        return FallbackLine(use.name, fallback.requests, share, reasons, "not known" if not no_primary else "–", how)
    how = "measured, on the primary's other requests" if extra.basis == "measured" else "computed, from its tokens"
    return FallbackLine(use.name, fallback.requests, share, reasons, signed(extra.nanousd), how)


def learning_of(report: Report) -> list[LearningLine]:
    """Return what was asked to learn, apart from callers' requests."""
    return [LearningLine(kind, totals.attempts, cost(totals)) for kind, totals in report.learning.items()]


def bars_of(cells: Iterable[Cell], days: Sequence[date]) -> list[DayBar]:
    """Draw what live requests cost on each of the days, from zero."""
    by_day: dict[date, list[Cell]] = {day: [] for day in days}
    for cell in cells:
        if cell.kind == "live" and cell.day in by_day:
            by_day[cell.day].append(cell)
    totals = {day: Totals.of(found) for day, found in by_day.items()}
    most = max((found.cost_nanousd for found in totals.values()), default=0)
    step = WIDTH / max(1, len(days))
    dearest = max(days, key=lambda day: totals[day].cost_nanousd, default=None)
    bars = []
    for number, day in enumerate(days):
        on_fallback = sum(cell.cost_nanousd for cell in by_day[day] if cell.role is Role.FALLBACK)
        room = HEIGHT - _HEAD - _FOOT
        height = room * totals[day].cost_nanousd / most if most else 0.0
        above = room * on_fallback / most if most else 0.0
        top = HEIGHT - _FOOT - height
        marked = len(days) <= MOST_MARKED or day in (dearest, days[-1])
        bars.append(
            DayBar(
                day,
                totals[day],
                on_fallback,
                round(number * step + step * 0.15, 1),
                round(step * 0.7, 1),
                round(top, 1),
                round(top + above, 1),
                marked,
                cost(totals[day]),
                f"{day.day} {day:%b}",
            )
        )
    return bars


def lead_of(report: Report, days: int) -> str:
    """Say what the period cost, in one sentence."""
    if report.is_empty:
        return f"Nothing was asked in the last {counted(days, 'day')}."
    totals = report.totals
    routes = sum(1 for use in report.routes if use.totals.attempts)
    span = "Since midnight UTC" if days == 0 else f"In the last {counted(days, 'day')} and today"
    paid = cost(totals).replace("≥", "at least ")
    said = f"{span}, {counted(totals.requests, 'request')} to {counted(routes)} cost {paid}."
    if totals.unpriced:
        have = "attempt has" if totals.unpriced == 1 else "attempts have"
        said += f" {totals.unpriced:,} {have} no price, and may have cost more."
    if totals.requests and report.on_fallback:
        said += f" Fallbacks answered {percent(report.on_fallback, totals.requests)}."
    return said


def words_of(report: Report) -> tuple[str, tuple[str, ...]]:
    """Return when the ledger begins, where that is within the period, and what to know of the figures."""
    return begins_late(report.period) or "", tuple(notes(report, times=False))


def csv_of(lines: Sequence[CostLine], by: str) -> str:
    """Return the table as CSV; cells that a spreadsheet would take for a formula begin with an apostrophe."""
    head = [by, "role", *(name for name, _ in _CSV), "cost_usd", "cost_usd_per_1000"]
    rows = [head]
    for line in lines:
        first = [f"{line.route} / {line.label}" if line.role else line.label, line.role.value if line.role else ""]
        priced = bool(line.totals.cost_nanousd) or not line.totals.unpriced
        paid = [_usd(Decimal(line.totals.cost_nanousd)) if priced else "unpriced"]
        each = [_usd(line.per_request * 1000) if line.per_request is not None and priced else "unpriced"]
        rows.append([*first, *(str(read(line.totals)) for _, read in _CSV), *paid, *each])
    return "".join(",".join(map(_csv_cell, row)) + "\r\n" for row in rows)


_CSV: Final[Sequence[tuple[str, Callable[[Totals], int]]]] = (
    ("requests", lambda totals: totals.requests),
    ("attempts", lambda totals: totals.attempts),
    ("failed", lambda totals: totals.failed),
    ("unpriced", lambda totals: totals.unpriced),
    ("input_tokens", lambda totals: totals.input_tokens),
    ("cached_input_tokens", lambda totals: totals.cached_input_tokens),
    ("output_tokens", lambda totals: totals.output_tokens),
)


def _usd(nanousd: Decimal) -> str:
    return f"{nanousd / 10**9:.9f}".rstrip("0").rstrip(".")


def _csv_cell(text: str) -> str:
    text = printable(text)
    safe = f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
    # Some spreadsheets part cells at semicolons: what is behind one must not begin a cell.
    return f'"{safe.replace(chr(34), chr(34) * 2)}"' if any(mark in safe for mark in ',;"') else safe
