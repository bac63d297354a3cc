"""What a colleague would say of all routes, in one or two sentences. No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.api.pages.routes_now import Concern, RouteNow
from gateway.api.pages.words import reason_words
from gateway.reasons import Reason

MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a sentence."""

    text: str
    route: str | None = None
    """The route that the text names."""
    at: datetime | None = None
    """The instant that the text tells."""


def written(routes: Sequence[RouteNow], now: datetime) -> tuple[Part, ...]:
    """Say whether routes answer as they are meant to; if not, which, since when and why."""
    if not routes:
        return ()
    by = {concern: [route for route in routes if route.concern is concern] for concern in Concern}
    fine = len(by[Concern.NONE]) + len(by[Concern.MOVED])
    parts = [Part(_headline(fine, len(routes)))]
    if by[Concern.NOBODY]:
        parts += [Part(f" {len(by[Concern.NOBODY]):,} cannot be answered: "), *_named(by[Concern.NOBODY], now)]
    if by[Concern.UNINTENDED]:
        parts += [Part(f" {_run(by[Concern.UNINTENDED])} on {_their(by[Concern.UNINTENDED])} fallback: ")]
        parts += _named(by[Concern.UNINTENDED], now)
    if moved := by[Concern.MOVED]:
        parts += [Part(_as_planned(moved, is_all=fine == len(routes))), *_named(moved, now)]
    return tuple(_with_zone(parts))


def _with_zone(parts: Sequence[Part]) -> Iterator[Part]:
    """Say once which clock is meant."""
    said = False
    for part in parts:
        if part.at is not None and not said and ":" in part.text:
            said = True
            yield Part(f"{part.text} UTC", at=part.at)
        else:
            yield part


def short(at: datetime, now: datetime) -> str:
    """Write an instant as people say it: the time of today, ``14 Jan 00:00``, and the year where it is another."""
    if at.date() == now.date():
        return f"{at:%H:%M}"
    return f"{at.day} {at:%b %H:%M}" if at.year == now.year else f"{at.day} {at:%b %Y}"


def _headline(fine: int, total: int) -> str:
    if total == 1:
        return "The one route answers as intended." if fine else "The one route does not answer as intended."
    if fine == total:
        return f"All {total:,} routes answer as intended."
    return f"{fine:,} of {total:,} routes {'answers' if fine == 1 else 'answer'} as intended."


def _run(routes: Sequence[RouteNow]) -> str:
    return f"{len(routes):,} {'runs' if len(routes) == 1 else 'run'}"


def _their(routes: Sequence[RouteNow]) -> str:
    return "its" if len(routes) == 1 else "their"


def _as_planned(routes: Sequence[RouteNow], *, is_all: bool) -> str:
    many = len(routes) > 1
    of = "of them " if is_all else "more "
    return f" {len(routes):,} {of}{'have' if many else 'has'} moved as planned: "


def _named(routes: Sequence[RouteNow], now: datetime) -> Iterator[Part]:
    """Name the first few, with since when and why; say how many more there are."""
    ordered = sorted(routes, key=lambda route: (route.since is None, route.since or now, route.name))
    shown = ordered if len(ordered) <= MOST_NAMED + 1 else ordered[:MOST_NAMED]
    for number, route in enumerate(shown):
        if number:
            yield Part(", ")
        yield Part(route.name, route=route.name)
        if route.since is not None:
            yield Part(" since ")
            yield Part(short(route.since, now), at=route.since)
        yield Part(f" ({why(route)})")
    yield Part("." if len(shown) == len(ordered) else f" and {len(ordered) - len(shown):,} more.")


def why(route: RouteNow, *, briefly: bool = False) -> str:
    """Say why a route stands as it does, in a few words; ``briefly``: where something else says what it lacks."""
    if route.command is not None and route.reason is Reason.COMMANDED:
        return f"by {route.command.by}"
    if route.concern is Concern.NOBODY:
        left = "" if route.has_fallback or briefly else ", no fallback"
        return reason_words(route.refused or route.reason) + left
    if route.moved is not None:
        return f"ramping, {route.moved * 100:.0f}%"
    return reason_words(route.reason)
