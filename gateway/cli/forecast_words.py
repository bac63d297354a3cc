"""The sentences of a forecast: the same in a terminal, on the page, and in JSON."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.routes import Target
    from gateway.lifecycle.forecast import Forecast, Horizon, RouteForecast
    from gateway.lifecycle.forecast_findings import Finding
    from gateway.lifecycle.forecast_traffic import CostChange, Demand, Load
    from gateway.policy.lifecycle import Dates

NO_OWNER = "no owner"
_NANO = 10**9
_WHO = {
    "provider": "from the provider's own API",
    "curated": "collected by hand",
    "feed": "from a feed",
    "litellm": "from litellm's map",
}
NOT_KNOWN = (
    "Without a ledger nobody can say what this costs, how much the new models will be asked at once, which requests "
    "they refuse, and whether the fallbacks ever answered. `gateway serve` keeps a ledger (state/gateway.db); "
    "name another one with --database."
)

ESTIMATES = (
    "~ is an estimate: last week's tokens and four characters of prompt a token, at list price; providers' discounts "
    "for cached input are left out, so the real bill is lower where prompts are long."
)


def headline(found: "Forecast") -> str:
    """Say in one sentence how many routes lose their primary, when, and how many are left with nobody."""
    total, lost, horizon = len(found.routes), found.lost, found.horizon
    stopped = [row for row in lost if row.dates.shutdown and row.dates.shutdown <= horizon.today]
    coming = sorted((row for row in lost if row not in stopped), key=_shutdown)
    if not lost:
        return _nothing_stops(found)
    if horizon.day:
        said = f"On {when(horizon)}, {_of(len(lost), total)} {_have(len(lost))} lost {_their(len(lost))} primary"
    elif stopped:
        since = f"since {_shutdown(min(stopped, key=_shutdown))}"
        said = f"{_of(len(stopped), total)} {_have(len(stopped))} lost {_their(len(stopped))} primary, {since}"
        if coming:
            said += f"; {len(coming)} more {_verb(len(coming), 'follow')} {within(horizon)}, {_first(coming)}"
    else:
        lose = _verb(len(coming), "lose")
        said = f"{_of(len(coming), total)} {lose} {_their(len(coming))} primary {within(horizon)}, {_first(coming)}"
    nobody = len(found.nobody)
    if nobody:
        return f"{said}; {nobody} {_has(nobody)} nobody to take over."
    return f"{said}; somebody takes over {'it' if len(lost) == 1 else 'each of them'}."


def _nothing_stops(found: "Forecast") -> str:
    total, horizon = len(found.routes), found.horizon
    dated = sorted((row for row in found.routes if row.dates.shutdown), key=_shutdown)
    if horizon.day:
        said = f"On {when(horizon)}, none of {_routes(total)} has lost its primary"
    else:
        said = f"None of {_routes(total)} loses its primary {within(horizon)}"
    if not dated:
        return f"{said}; no date is known for any of them."
    return f"{said}; the next to stop does on {_shutdown(dated[0])}, {in_days(dated[0].days_left)}."


def left_alone(found: "Forecast") -> str | None:
    """Name the routes that nobody answers, by owner; None where there are none."""
    return f"Nobody takes over for {listed(found.nobody)}." if found.nobody else None


def bill(found: "Forecast") -> str | None:
    """Say what the moves do to the monthly bill; None where nothing can be said."""
    priced = [row.cost for row in found.lost if row.cost.change_nanousd_per_month is not None]
    if not priced or found.traffic is None:
        return None
    before = sum(_per_month(cost, cost.before_nanousd_per_1000) for cost in priced)
    after = sum(_per_month(cost, cost.after_nanousd_per_1000) for cost in priced)
    left_out = len(found.lost) - len(priced)
    omitted = f", {left_out} of them left out for want of a price or of traffic" if left_out else ""
    return (
        f"At the traffic of the last {days(found.traffic.days)} their bill goes from {money(before)} to {money(after)} "
        f"a month ({signed(after - before)}){omitted}."
    )


def _per_month(cost: "CostChange", per_1000: int | None) -> int:
    return (per_1000 or 0) * (cost.requests_per_month or 0) // 1000


def why(dates: "Dates") -> str:
    """Say who names a date, and how certain that is."""
    return f"{believed(dates)}: {dates.source}"


def believed(dates: "Dates") -> str:
    """Say how certain a date is, of which kind its source is, and who disagrees; the source itself left out."""
    who = _WHO.get(dates.origin.value, dates.origin.value) if dates.origin else "from its source"
    said = f"{dates.certainty}; {who}"
    if dates.read:
        said += f", read {dates.read}"
    others = (
        f"{other.origin.value if other.origin else other.source} says {day(other.shutdown)}"
        for other in dates.disputed_by
    )
    return "; ".join((said, *others))


def moves(row: "RouteForecast") -> str:
    """Say when traffic moves by rule."""
    if row.complete is None or row.begins is None:
        return "when gone"
    if row.complete == row.dates.shutdown and row.begins == row.complete:
        return "that day"
    if row.begins == row.complete:
        return f"{row.complete:%d %b}"
    first = f"{row.begins:%d}" if row.begins.month == row.complete.month else f"{row.begins:%d %b}"
    return f"{first}–{row.complete:%d %b}"


def answers(row: "RouteForecast") -> str:
    """Say who answers on the day."""
    return "NOBODY" if row.serves is None else named(row.serves)


def named(target: "Target") -> str:
    """Name a target as findings do."""
    from gateway.lifecycle.forecast_findings import named as as_findings_do

    return "the primary" if target.name == "primary" else as_findings_do(target)


def per_1000(cost: "CostChange") -> str:
    """Say what a thousand requests cost before and after; ``~`` marks an estimate."""
    words = {"no_ledger": "", "no_move": "", "no_traffic": "no traffic"}
    if cost.basis.value in words:
        return words[cost.basis.value]
    before, after = cost.before_nanousd_per_1000, cost.after_nanousd_per_1000
    if before is None or after is None:
        return "unpriced"
    return f"{money(before)} → {'~' if cost.basis.value == 'estimated' else ''}{money(after)}"


def per_month(cost: "CostChange") -> str:
    """Say what a month costs more, or less."""
    change = cost.change_nanousd_per_month
    return "" if change is None else signed(change)


def share(demand: "Demand | None", *, refused: bool) -> str:
    """Say what share of requests a fallback refuses, or gets altered; nothing where it is none of them."""
    if demand is None or not demand.requests:
        return ""
    count = demand.refused if refused else demand.altered
    return percent(count, demand.requests) if count else ""


def load(found: "Load") -> str:
    """Say what a target is asked in its busiest minute, and what it may be asked."""
    provider, model = found.target
    said = (
        f"{model} at {provider} will answer {_routes(len(found.routes))}: at most {found.input_tokens_per_minute:,} "
        f"input tokens and {found.requests_per_minute:,} requests a minute"
    )
    if found.tokens_at is not None:
        said += f" (as on {found.tokens_at:%Y-%m-%d %H:%M} UTC)"
    limits, share = found.limits, found.share_of_quota
    if limits is None or share is None:
        return f"{said}. Its quota is not known: no answer of it has come through this gateway."
    quota = [
        f"{limit:,} {word}"
        for limit, word in ((limits.tokens_per_minute, "tokens"), (limits.requests_per_minute, "requests"))
        if limit
    ]
    return f"{said}, {share:.0%} of its quota of {' and '.join(quota)}, as seen on {limits.seen_at:%Y-%m-%d}."


def grouped(rows: "Iterable[RouteForecast]") -> "list[tuple[Finding, list[RouteForecast]]]":
    """Bring equal findings of several routes together, the worst first."""
    from gateway.lifecycle.forecast_findings import FindingKind

    found: dict[Finding, list[RouteForecast]] = defaultdict(list)
    for row in rows:
        for finding in row.findings:
            found[finding].append(row)
    order = list(FindingKind)
    return sorted(found.items(), key=lambda item: (order.index(item[0].kind), -len(item[1]), item[0].text))


def by_base(rows: "Iterable[RouteForecast]") -> "list[list[RouteForecast]]":
    """Bring routes together that stop for the same reason: the earliest first, of one day those in trouble first."""
    groups: dict[tuple[date, str, str, str], list[RouteForecast]] = defaultdict(list)
    for row in rows:
        if row.dates.shutdown is not None:
            key = (row.dates.shutdown, row.main.provider.name, row.base or row.main.model, why(row.dates))
            groups[key].append(row)
    return [
        groups[key] for key in sorted(groups, key=lambda key: (key[0], not any(row.nobody for row in groups[key]), key))
    ]


def in_days(count: int | None) -> str:
    """Say how far a day is away."""
    if count is None:
        return ""
    if count < 0:
        return f"{days(-count)} ago"
    return {0: "today", 1: "tomorrow"}.get(count, f"in {count} days")


def within(horizon: "Horizon") -> str:
    """Say how far is looked ahead."""
    return f"within {days((horizon.until.date() - horizon.now.date()).days)}"


def when(horizon: "Horizon") -> str:
    """Name the instant that is asked about."""
    until = horizon.until
    return f"{until:%Y-%m-%d}" if (until.hour, until.minute) == (0, 0) else f"{until:%Y-%m-%d %H:%M} UTC"


def days(count: float) -> str:
    """Say a number of days."""
    rounded = round(count)
    return "day" if rounded == 1 and count != 1 else f"{rounded} day{'s' if rounded != 1 else ''}"


def day(value: date | None) -> str:
    """Name a day, or say that there is none."""
    return "no date" if value is None else value.isoformat()


def percent(part: int, whole: int) -> str:
    """Say a share; what is not nothing is never shown as nothing."""
    share = Decimal(part * 100) / whole
    return "<1%" if 0 < share < 1 else f"{round(share)}%"


def money(nanousd: int) -> str:
    """Write an amount of nano-dollars with as many digits as a person wants to read."""
    amount = Decimal(nanousd) / _NANO
    size = abs(amount)
    digits = 0 if size >= 100 or not size else 2 if size >= Decimal("0.01") else 4
    return f"{'−' if amount < 0 else ''}${size:,.{digits}f}"


def signed(nanousd: int) -> str:
    """Write a difference with its sign."""
    return f"+{money(nanousd)}" if nanousd > 0 else money(nanousd)


def listed(rows: "Sequence[RouteForecast]") -> str:
    """Name routes by owner."""
    owners: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        owners[row.route.owner or NO_OWNER].append(row.route.name)
    if len(owners) == 1 and NO_OWNER in owners:
        return ", ".join(owners[NO_OWNER])
    return "; ".join(f"{owner}: {', '.join(names)}" for owner, names in sorted(owners.items()))


def _shutdown(row: "RouteForecast") -> date:
    return row.dates.shutdown or date.max


def _first(coming: "Sequence[RouteForecast]") -> str:
    first = "the first" if len(coming) > 1 and _shutdown(coming[0]) != _shutdown(coming[-1]) else "all"
    first = "" if len(coming) == 1 else f"{first} "
    return f"{first}on {_shutdown(coming[0])} {in_days(coming[0].days_left)}"


def _of(count: int, total: int) -> str:
    return f"{count} of {_routes(total)}"


def _routes(count: int) -> str:
    return f"{count} route{'s' if count != 1 else ''}"


def _their(count: int) -> str:
    return "its" if count == 1 else "their"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


_has = _have


def _verb(count: int, plural: str) -> str:
    return f"{plural}s" if count == 1 else plural
