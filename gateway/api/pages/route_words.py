"""What a colleague would say of one route: who answers, why, and what comes next. No I/O."""

from collections.abc import Iterator
from datetime import date, datetime

from gateway.api.pages.routes_now import Concern, RouteNow
from gateway.api.pages.sentence import Part, short
from gateway.api.pages.words import in_days
from gateway.policy.planner import Plan
from gateway.reasons import Reason, Role

_OVER = (Reason.SHUTDOWN_REACHED, Reason.GONE)
"""Where the date is no news any more."""
_BECAUSE = {
    Reason.GONE: "the primary is gone",
    Reason.NO_ACCESS: "the primary is closed to this gateway’s key",
    Reason.SUSPECT: "the primary is suspect: it is being verified",
    Reason.CIRCUIT_OPEN: "the primary failed too often and is left alone for a moment",
    Reason.RESTING: "the primary asked for a pause",
    Reason.SHUTDOWN_REACHED: "the day to leave the primary has come",
    Reason.NO_PRIMARY: "the route has no primary",
    Reason.LACKS_CAPABILITY: "the primary lacks something that requests need",
}


def said_of(now: RouteNow, at: datetime, then: Plan | None) -> Iterator[Part]:
    """Say who answers and why. ``then`` is the plan of the day on which the primary stops, where one is known."""
    yield from _who(now, at)
    if now.shutdown is not None and tells_date(now):
        yield from _what_stops(now, now.shutdown, at, then)


def tells_date(now: RouteNow) -> bool:
    """Tell whether the primary's date is worth a word: not where it is gone, or past it, already."""
    return now.has_primary and now.shutdown is not None and now.reason not in _OVER


def _who(now: RouteNow, at: datetime) -> Iterator[Part]:
    if now.role is None:
        yield Part("Nobody answers")
        yield from _since(now, at)
        yield Part(f": {_because(now)}, and {'no fallback is left' if now.has_fallback else 'there is no fallback'}. ")
        yield Part("Callers get an error that names the model.")
        return
    if now.moved is not None:
        yield Part(f"{now.moved:.0%} of conversations have moved to {now.target}")
        yield from _since(now, at, word=", which began")
        yield Part("; the others are still answered by the primary.")
        return
    who = "The primary" if now.role is Role.PRIMARY else f"The fallback {now.target}"
    yield Part(f"{who} answers")
    if now.command is not None and now.reason is Reason.COMMANDED:
        yield from _since(now, at)
        until = f"until {short(now.command.expires_at, at)}" if now.command.expires_at else "until that is taken back"
        yield Part(f", by the hand of {now.command.by}, {until}: “{now.command.reason}”.")
        return
    if now.role is Role.PRIMARY:
        left = "nobody else can" if now.has_fallback else "there is no fallback"
        yield Part(f", although its day has passed: {left}." if now.refused is not None else ", as it should.")
        return
    yield from _since(now, at)
    yield Part(f": {_because(now)}.")


def _since(now: RouteNow, at: datetime, word: str = " since") -> Iterator[Part]:
    if now.since is not None:
        yield Part(f"{word} ")
        yield Part(f"{short(now.since, at)} UTC", at=now.since)


def _because(now: RouteNow) -> str:
    return _BECAUSE.get(now.reason, now.reason.value.replace("_", " "))


def _what_stops(now: RouteNow, shutdown: date, at: datetime, then: Plan | None) -> Iterator[Part]:
    day = f"{shutdown.day} {shutdown:%B %Y}"
    if shutdown <= at.date():
        yield Part(f" Its primary was to stop on {day}, {in_days(shutdown, at)}.")
        return
    certainly = "stops" if now.dates.certainty == "planned" else "may stop"
    yield Part(f" Its primary {certainly} on {day}, {in_days(shutdown, at)}")
    successor = next((step.target for step in then.steps if step.target.role is Role.FALLBACK), None) if then else None
    if now.concern is Concern.NOBODY and successor is None:
        yield Part(".")
    elif successor is None:
        yield Part("; nobody takes over.")
    elif now.role is Role.FALLBACK:
        yield Part(".")
    else:
        once = " once it is gone" if then is not None and then.steps[0].target.role is Role.PRIMARY else ""
        yield Part(f"; then {successor.name} ({successor.model}) takes over{once}.")
