"""The sentences of break-even: the same in a terminal and in JSON."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from gateway.lifecycle.forecast_words import counted, days, money
from gateway.policy.economics import LEAST_REQUESTS, Answer, Basis, InTime

if TYPE_CHECKING:
    from gateway.lifecycle.break_even import BreakEvenFinding, Compared, Known
    from gateway.policy.economics import Interval, Payback


def sentences(found: "BreakEvenFinding") -> list[str]:
    """Return what is said of one route: the answer, what it rests on, and how far paying back is."""
    said = [answer(found)]
    if found.compared is not None:
        said.append(_rests_on(found))
    if found.payback is not None and found.known is not None:
        said += _ahead(found.payback, found.known)
    return said


def answer(found: "BreakEvenFinding") -> str:
    """Return the answer alone, in one sentence."""
    compared = found.compared
    if compared is None:
        return _nothing_compared(found)
    saves = f"a request saves {span(compared.saving)} per 1,000"
    if found.answer is Answer.NO_TRAINING_COST:
        return f"{saves}; what the training cost is not given: add training.cost_usd to the route."
    if found.answer is Answer.BREAKS_EVEN and found.needed is not None and found.spent is not None:
        needed = found.needed
        between = f" ({needed.at_least:,} to {needed.at_most:,})" if needed.at_least != needed.at_most else ""
        return f"breaks even after {needed.requests:,} requests{between}: {money(found.spent.total)} spent, {saves}."
    if found.answer is Answer.DEPENDS_ON_CACHE:
        return (
            f"depends on the cache: computed, {saves}. It pays against a cold cache and never against a warm one; "
            "`rehearsal:` measures which it is."
        )
    if compared.saving.high <= 0:
        return f"never: the fine-tune saves nothing, {span(compared.saving)} per 1,000 requests."
    return f"never, as far as can be shown: what 1,000 requests save is {span(compared.saving)}, and may be nothing."


def span(interval: "Interval") -> str:
    """Say an amount for 1,000 requests and its interval: "$0.48 ($0.45 to $0.51)"."""
    estimate, low, high = (per_1000(value) for value in (interval.estimate, interval.low, interval.high))
    return estimate if low == high else f"{estimate} ({low} to {high})"


def per_1000(nanousd: Decimal) -> str:
    """Say what 1,000 requests cost."""
    return money(round(nanousd * 1000))


def _nothing_compared(found: "BreakEvenFinding") -> str:
    if found.answer is Answer.NOTHING_TO_COMPARE:
        return "nothing to compare: it takes a primary and a fallback."
    if found.answer is Answer.NOT_PRICED:
        return "not known: the fine-tune or the fallback has no price; write `prices:` in routes.yaml."
    asked = found.known.primary.requests if found.known is not None else 0
    return (
        f"too little data: {counted(asked, 'request')} of the fine-tune in this period, and below {LEAST_REQUESTS} "
        "nothing is concluded; look at a longer one with --since."
    )


def _rests_on(found: "BreakEvenFinding") -> str:
    compared = found.compared
    assert compared is not None
    return _BASES[compared.basis](compared) + _costs(found, compared)


def _costs(found: "BreakEvenFinding", compared: "Compared") -> str:
    if compared.base is None or compared.fine_tune is None:
        return "."
    name = found.fallback.name if found.fallback is not None else "base"
    hosting = f", {per_1000(found.hosting)} of it hosting" if found.hosting else ""
    return (
        f": 1,000 requests cost {per_1000(compared.base)} on {name} with its prompt, {per_1000(compared.fine_tune)} on "
        f"the fine-tune{hosting}."
    )


def _computed(compared: "Compared") -> str:
    computed = compared.computed
    assert computed is not None
    tokens = f"{computed.fixed_tokens + computed.similar_tokens:,} tokens of prompt"
    cache = (
        f"a cold cache, {per_1000(computed.warm)} with a warm one"
        if computed.caches
        else "no cache, since fewer than 1,024 of them are always the same"
    )
    asked = f"{compared.requests[1]:,} requests' tokens"
    return f"Computed, not measured, from {asked}, {tokens} and list prices, with {cache}"


_BASES = {
    Basis.PAIRED: lambda compared: (
        f"Measured on {compared.requests[0]:,} rehearsals, the same requests on both, with the prompt of now"
    ),
    Basis.APART: lambda compared: (
        f"Measured on different requests, {compared.requests[0]:,} of the fallback and {compared.requests[1]:,} of the "
        "fine-tune"
    ),
    Basis.COMPUTED: _computed,
}


def _ahead(payback: "Payback", known: "Known") -> Iterator[str]:
    saved = payback.saved
    between = f" ({money(round(saved.low))} to {money(round(saved.high))})" if saved.low != saved.high else ""
    yield (
        f"So far it has served {counted(known.served, 'request')} since the ledger begins, which saved "
        f"{money(round(saved.estimate))}{between}."
    )
    yield _in_time(payback, known)


def _in_time(payback: "Payback", known: "Known") -> str:
    if payback.in_time is InTime.ALREADY:
        return "It has paid itself back already."
    if known.is_gone and payback.in_time is InTime.NO:
        return f"{payback.left.requests:,} requests are lacking, and the model is gone: it cannot pay back any more."
    left = f"{payback.left.requests:,} requests are still to come"
    if payback.days is not None:
        left += f", {days(float(payback.days.estimate))} at {_rate(known.per_day)} a day"
    if payback.requests_to_come is None:
        return f"{left}. Whether that is in time is not known: no last day of the model is known."
    last = "the model is gone" if known.is_gone else f"it {_stops(known)} on {known.shutdown}"
    verdict = {
        InTime.YES: "it pays back in time",
        InTime.NO: "it does not pay back in time",
        InTime.UNKNOWN: "whether it pays back in time cannot be told",
    }[payback.in_time]
    return f"{left}; {last}, with some {payback.requests_to_come:,} requests until then: {verdict}."


def _stops(known: "Known") -> str:
    return "stops" if known.days_left else "stopped"


def _rate(per_day: Decimal) -> str:
    return f"{per_day:,.0f}" if per_day >= 10 else f"{per_day:.1f}"
