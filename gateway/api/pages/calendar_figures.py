"""What the calendar says of a forecast: by base and day, which routes are ready, and what to do for the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from markupsafe import Markup

from gateway.api.pages.calendar_words import doubt, facts, in_words, title
from gateway.learning import evidence_words
from gateway.lifecycle import forecast_words as words
from gateway.lifecycle.forecast import Forecast, RouteForecast
from gateway.lifecycle.forecast_evidence import Proof
from gateway.lifecycle.forecast_findings import SEVERE, Finding, FindingKind, who_says
from gateway.lifecycle.forecast_headline import bill, headline, left_alone
from gateway.lifecycle.timeline import HATCH, Axis, axis_of, shapes, spoken, when_it_stops

SPANS: Final = ((30, "30 days"), (90, "90 days"), (180, "180 days"), (365, "a year"))
DAYS: Final = 90
LONGEST_DAYS: Final = 3650
_MOST_TICKS: Final = 14
THAT_DAY: Final = "that day"
URGENT_DAYS: Final = 30


class Readiness(StrEnum):
    """Whether a route can lose its primary, and nobody notices."""

    READY = "ready"
    UNPROVEN = "unproven"
    """Somebody will answer, and nobody knows how well."""
    NOT_READY = "not ready"


_SAID: Final[Mapping[FindingKind, str]] = {
    FindingKind.NOBODY: "nobody answers",
    FindingKind.NO_FALLBACK: "no fallback",
    FindingKind.FALLBACK_GONE: "fallback is gone",
    FindingKind.FALLBACK_STOPS: "fallback stops too",
    FindingKind.ALIAS: "an alias without a day",
    FindingKind.SHARES_BASE: "same base",
    FindingKind.QUOTA: "over its quota",
    FindingKind.REFUSED: "requests refused",
    FindingKind.TOO_LONG: "requests too long",
    FindingKind.STAND_IN: "sandbox stands in",
    FindingKind.NO_PROMPT: "no prompt",
    FindingKind.UNWRITTEN: "prompt is a draft",
    FindingKind.NEVER_EXERCISED: "never exercised",
    FindingKind.WARNS_ONLY: "the date only warns",
    FindingKind.DISPUTED: "sources disagree",
    FindingKind.UNPRICED: "no price",
}
_UNREADY: Final = SEVERE | {FindingKind.NO_FALLBACK}


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """One route."""

    name: str
    owner: str
    answers: str
    """Who answers on that day, in words."""
    role: str | None
    """``primary`` or ``fallback``; None: nobody."""
    moves: str
    readiness: Readiness
    because: tuple[str, ...]
    """Why it is not ready, or what is not known, in a few words each, the worst first."""
    evidence: str
    cost: str
    per_month: str
    drawn: Markup
    spoken: str


@dataclass(frozen=True, slots=True)
class ToDo:
    """One thing to do for some routes."""

    what: str
    remedy: str
    routes: tuple[str, ...]
    of_all: bool
    is_severe: bool


@dataclass(frozen=True, slots=True)
class BaseGroup:
    """The routes that lose their primary for the same reason."""

    base: str
    provider: str
    title: str
    """When it stops from today on, or that it is gone."""
    is_gone: bool
    """Whether it is gone although its day has not come."""
    stops: date | None
    doubt: str
    """Why that day is not certain; empty where it is."""
    belief: str
    """Since when it is known, and by whom."""
    source: str
    facts: tuple[str, ...]
    disputes: tuple[str, ...]
    other_days: tuple[float, ...]
    """Where on the axis the days are that other sources name."""
    readiness: str
    """How many are ready, in a sentence."""
    all_ready: bool
    rows: tuple[CalendarRow, ...]
    todo: tuple[ToDo, ...]
    is_urgent: bool
    """Whether something is to do that cannot wait."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A month on the axis; ``at`` in per cent of its width."""

    at: float
    word: str


@dataclass(frozen=True, slots=True)
class CalendarSpan:
    """A link to another horizon."""

    word: str
    href: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class CalendarView:
    """What the page shows."""

    lead: str
    alone: str
    bill: str
    until: date
    earliest: date
    latest: date
    spans: tuple[CalendarSpan, ...]
    groups: tuple[BaseGroup, ...]
    later: tuple[BaseGroup, ...]
    undated: tuple[str, ...]
    undated_words: str
    loads: tuple[str, ...]
    ticks: tuple[Tick, ...]
    today: float
    hatch: Markup
    note: str
    """What is missing of the traffic, and why."""
    routes: int
    away: str = ""


def view_of(found: Forecast, until: date, note: str = "", away: str = "") -> CalendarView:
    """Say a forecast in the calendar's words."""
    axis, today = axis_of(found), found.horizon.now.date()
    gone = words.gone_groups(row for row in found.lost if row.is_gone_early)
    stopping = words.by_base(row for row in found.lost if not row.is_gone_early)
    later = words.by_base(row for row in found.routes if not row.lost)
    undated = [row for row in found.routes if not row.lost and row.dates.shutdown is None]
    return CalendarView(
        ". ".join(part[:1].upper() + part[1:] for part in in_words(headline(found)).split("; ")),
        in_words(left_alone(found) or ""),
        bill(found) or "",
        until,
        today,
        today + timedelta(days=LONGEST_DAYS),
        tuple(_spans(until, today)),
        tuple(_group(rows, found, axis) for rows in (*gone, *stopping)),
        tuple(_group(rows, found, axis) for rows in later),
        tuple(sorted(row.route.name for row in undated)),
        f"{words.counted(len(undated))} {'has' if len(undated) == 1 else 'have'} no known date" if undated else "",
        tuple(in_words(words.load(load)) for load in found.loads),
        tuple(_ticks(axis, axis.at(today) / 10)),
        axis.at(today) / 10,
        Markup(HATCH),
        note,
        len(found.routes),
        away,
    )


def _spans(until: date, today: date) -> Iterable[CalendarSpan]:
    for days, word in SPANS:
        day = today + timedelta(days=days)
        href = "/ui/calendar" if days == DAYS else f"/ui/calendar?until={day}"
        yield CalendarSpan(word, href, day == until)


def _ticks(axis: Axis, today: float) -> Iterable[Tick]:
    months = list(axis.months())
    step = -(-len(months) // _MOST_TICKS)
    for month in months[::step] if step else ():
        at = axis.at(month) / 10
        if abs(at - today) > 8 and at < 96:
            yield Tick(at, f"{month:%b %Y}" if month.month == 1 else f"{month:%b}")


def _group(rows: Sequence[RouteForecast], found: Forecast, axis: Axis) -> BaseGroup:
    first, dates = rows[0], rows[0].dates
    made = [_row(row, found, axis) for row in rows]
    ready = sum(row.readiness is Readiness.READY for row in made)
    order = list(Readiness)
    made.sort(key=lambda row: (-order.index(row.readiness), row.owner, row.name))
    left = first.days_left
    others = [other.shutdown for other in dates.disputed_by if other.shutdown is not None]
    return BaseGroup(
        first.base or first.main.model,
        first.main.provider.name,
        title(first),
        first.lost and first.is_gone_early,
        dates.shutdown,
        doubt(dates),
        in_words(words.believed(replace(dates, disputed_by=()))) if dates.shutdown is not None else "",
        dates.source,
        tuple(map(in_words, facts(dates))),
        tuple(in_words(f"{who_says(other, dates)} says {words.day(other.shutdown)}") for other in dates.disputed_by),
        tuple(axis.at(day) for day in others),
        _ready_words(ready, made),
        ready == len(made),
        tuple(made),
        tuple(_todo(rows, found)),
        (first.gone is not None or left is None or left <= URGENT_DAYS)
        and any(row.readiness is Readiness.NOT_READY for row in made),
    )


def _ready_words(ready: int, rows: Sequence[CalendarRow]) -> str:
    count = len(rows)
    if count == 1:
        return "its one route is ready" if ready else f"its one route is {rows[0].readiness}"
    if ready == count:
        return f"all {count} routes are ready"
    return f"{ready or 'none'} of {count} routes {'is' if ready < 2 else 'are'} ready"


def _row(row: RouteForecast, found: Forecast, axis: Axis) -> CalendarRow:
    readiness, because, evidence = _judged(row, found)
    answers = words.answers(row).replace("NOBODY", "nobody")
    moves = words.moves(row)
    role = None if row.serves is None and not row.still_answers else (row.serves or row.main).role.value
    return CalendarRow(
        row.route.name,
        row.route.owner or "",
        in_words(answers if row.lost or row.nobody else when_it_stops(row)),
        role,
        "" if row.nobody or not row.lost or row.gone is not None or moves == THAT_DAY else moves,
        readiness,
        because,
        evidence,
        words.per_1000(row.cost) if found.traffic is not None else "",
        words.per_month(row.cost) if found.traffic is not None else "",
        # Numbers and classes of ours; nothing of a configuration is in it.
        Markup("".join(shapes(row, axis))),
        spoken(row),
    )


def _judged(row: RouteForecast, found: Forecast) -> tuple[Readiness, tuple[str, ...], str]:
    kinds = list(dict.fromkeys(finding.kind for finding in row.findings))
    severe = [kind for kind in kinds if kind in _UNREADY]
    doubts = [_SAID[kind] for kind in kinds if kind not in severe]
    evidence = found.evidence_on(row)
    said = ""
    if evidence is not None and found.evaluations is not None:
        said = evidence_words.sentence(evidence)
        if evidence.proof is not Proof.ACCEPTED:
            doubts.append("rejected" if evidence.proof is Proof.REJECTED else "no evidence")
    if row.nobody or severe:
        return Readiness.NOT_READY, (*(_SAID[kind] for kind in severe), *doubts), said
    return (Readiness.UNPROVEN if doubts else Readiness.READY), tuple(doubts), said


def _todo(rows: Sequence[RouteForecast], found: Forecast) -> Iterable[ToDo]:
    for finding, those in words.grouped(rows):
        names = tuple(sorted(row.route.name for row in those))
        yield ToDo(
            in_words(finding.text), _remedy(finding, names), names, len(those) == len(rows), finding.kind in _UNREADY
        )
    if found.evaluations is None:
        return
    pairs = [(row, evidence) for row in rows if (evidence := found.evidence_on(row)) is not None]
    unproven = sorted(row.route.name for row, evidence in pairs if evidence.proof is not Proof.ACCEPTED)
    if unproven:
        what = "no accepted evaluation says that the fallback is good enough"
        remedy = f"`gateway evaluate {unproven[0] if len(unproven) == 1 else 'ROUTE'}`"
        yield ToDo(what, remedy, tuple(unproven), len(unproven) == len(rows), is_severe=False)


def _remedy(finding: Finding, names: Sequence[str]) -> str:
    return finding.remedy.replace("ROUTE", names[0]) if len(names) == 1 else finding.remedy
