"""The sentences of a forecast: the same in a terminal, on the page, and in JSON."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.routes import Target
    from gateway.lifecycle.forecast import Horizon, RouteForecast
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
    "Without traffic in the ledger nobody can say what this costs, how much the new models will be asked at once, "
    "which requests they refuse, and whether the fallbacks ever answered. `gateway serve` keeps the ledger "
    "(state/gateway.db); name another one with --database."
)

UNTIL_GONE = "the primary, until it is gone"
ESTIMATES = (
    "~ is an estimate: last week's tokens and four characters of prompt a token, at list price; providers' discounts "
    "for cached input are left out, so the real bill is lower where prompts are long."
)


def why(dates: "Dates") -> str:
    """Say who names a date, and how certain that is."""
    return f"{believed(dates)}: {dates.source}"


def believed(dates: "Dates") -> str:
    """Say how certain a date is, of which kind its source is, and who disagrees; the source itself left out."""
    who = _WHO.get(dates.origin.value, dates.origin.value) if dates.origin else "from its source"
    said = f"{dates.certainty}; {who}"
    if dates.read:
        said += f", read {dates.read}"
    from gateway.lifecycle.forecast_findings import who_says

    others = dict.fromkeys(f"{who_says(other, dates)} says {day(other.shutdown)}" for other in dates.disputed_by)
    return "; ".join((said, *others))


def moves(row: "RouteForecast") -> str:
    """Say when traffic moves by rule."""
    if row.gone is not None:
        return "already"
    if row.complete is None or row.begins is None or row.serves is None:
        return "when gone"
    if row.complete == row.dates.shutdown and row.begins == row.complete:
        return "that day"
    if row.begins == row.complete:
        return f"{row.complete:%d %b %Y}"
    same = (row.begins.year, row.begins.month) == (row.complete.year, row.complete.month)
    first = f"{row.begins:%d}" if same else f"{row.begins:%d %b}"
    if row.begins.year != row.complete.year:
        first = f"{row.begins:%d %b %Y}"
    return f"{first}–{row.complete:%d %b %Y}"


def answers(row: "RouteForecast") -> str:
    """Say who answers on the day."""
    if row.serves is None:
        return UNTIL_GONE if row.still_answers else "NOBODY"
    return named(row.serves) + _until(row)


def short_answer(row: "RouteForecast") -> str:
    """Name who answers as routes.yaml does."""
    return answers(row) if row.serves is None else row.serves.name + _until(row)


def _until(row: "RouteForecast") -> str:
    return f"; NOBODY from {row.ends}" if row.ends is not None else ""


def gone_already(row: "RouteForecast") -> str:
    """Say that a primary is gone, whatever its date; nothing where it is not."""
    from gateway.lifecycle.forecast_findings import seen_to_be

    return "" if row.gone is None else seen_to_be(row.gone).replace(" (", " already (", 1)


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
    """Say what share of how many requests a fallback refuses, or gets altered; nothing where it is none of them."""
    if demand is None or not demand.requests:
        return ""
    count = demand.refused if refused else demand.altered
    return f"{percent(count, demand.requests)} of {demand.requests:,}" if count else ""


def load(found: "Load") -> str:
    """Say what a target is asked in its busiest minute, and what it may be asked."""
    provider, model = found.target
    said = (
        f"{model} at {provider} will answer {counted(len(found.routes))}: at most {found.input_tokens_per_minute:,} "
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


def nothing_kept(database: str, providers: "Sequence[str]") -> str:
    """Say which database was looked at, and how to fill it."""
    return (
        f"Nothing that a provider says of its models is kept in {database} yet: `gateway lifecycle refresh` asks "
        f"{' and '.join(providers)} for dates; --database names another database."
    )


def gone_groups(rows: "Iterable[RouteForecast]") -> "list[list[RouteForecast]]":
    """Bring routes together whose primaries, of one base, are gone although no day of theirs has come."""
    groups: dict[tuple[str, str, str], list[RouteForecast]] = defaultdict(list)
    for row in rows:
        groups[row.base or row.main.model, row.main.provider.name, str(row.dates.shutdown or "")].append(row)
    return [groups[key] for key in sorted(groups)]


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
    return counted(round(count), "day")


def the_last(count: float) -> str:
    """Name the days that have just passed."""
    return "the last day" if round(count) == 1 else f"the last {days(count)}"


def day(value: date | None) -> str:
    """Name a day, or say that there is none."""
    return "no date" if value is None else value.isoformat()


def percent(part: int, whole: int) -> str:
    """Say a share; what is not nothing is never shown as nothing."""
    share = Decimal(part * 100) / whole
    return "<1%" if 0 < share < 1 else f"{round(share)}%"


def money(nanousd: int, digits: int | None = None) -> str:
    """Write an amount of nano-dollars with as many digits as a person wants to read, or with so many."""
    amount = Decimal(nanousd) / _NANO
    places = digits_of(nanousd) if digits is None else digits
    return f"{'−' if amount < 0 else ''}${abs(amount):,.{places}f}"


def digits_of(nanousd: int) -> int:
    """Return how many digits behind the point an amount is worth."""
    size = abs(nanousd)
    return 0 if size >= 100 * _NANO or not size else 2 if size >= _NANO // 100 else 4


def from_to(before: int, after: int) -> str:
    """Write two amounts and their difference in nano-dollars, so that they add up to the eye."""
    digits = max(digits_of(before), digits_of(after))
    unit = _NANO // 10**digits
    first, last = (round(Decimal(amount) / unit) * unit for amount in (before, after))
    return f"from {money(first, digits)} to {money(last, digits)} a month ({signed(last - first, digits)})"


def signed(nanousd: int, digits: int | None = None) -> str:
    """Write a difference with its sign."""
    return f"+{money(nanousd, digits)}" if nanousd > 0 else money(nanousd, digits)


def counted(count: int, noun: str = "route") -> str:
    """Say how many there are."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def counted_of(count: int, total: int) -> str:
    """Say how many routes are meant, and where all of several are, just that."""
    return f"all {total:,} routes" if count == total > 1 else counted(count)


def listed(rows: "Sequence[RouteForecast]") -> str:
    """Name routes by owner, each owner's by name."""
    owners: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.route.name):
        owners[row.route.owner or NO_OWNER].append(row.route.name)
    if len(owners) == 1 and NO_OWNER in owners:
        return ", ".join(owners[NO_OWNER])
    return "; ".join(f"{owner}: {', '.join(names)}" for owner, names in sorted(owners.items()))
