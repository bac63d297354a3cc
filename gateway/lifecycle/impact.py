"""Which routes the end of one base model hits, and who answers them then. No I/O."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from gateway.config.routes import Route, Routes, Target
from gateway.lifecycle.forecast import who_answers
from gateway.lifecycle.forecast_aliases import Dated, alias_of
from gateway.lifecycle.forecast_findings import FindingKind, has_no_prompt, shared_base, stops_too
from gateway.policy.lifecycle import Dates, midnight
from gateway.policy.substitution import same_model
from gateway.reasons import Role


@dataclass(frozen=True, slots=True)
class Hit:
    """One route that has something to lose."""

    route: Route
    loses: tuple[Target, ...]
    """Its targets that are this base, or made of it."""
    day: date | None
    """When the last of these stops; None where no day is known of any."""
    serves: Target | None
    """Who answers once they are gone, on that day or today if there is none; None: nobody."""
    serves_today: Target | None
    """Who would answer if they were gone today."""
    findings: tuple[FindingKind, ...]

    @property
    def loses_primary(self) -> bool:
        """Whether its primary goes."""
        return any(target.role is Role.PRIMARY for target in self.loses)


@dataclass(frozen=True, slots=True)
class Stop:
    """Routes of which something stops on one day, by one source."""

    dates: Dates
    snapshot: str | None
    """The snapshot whose dates these are, where the routes name an alias that has none of its own."""
    routes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Impact:
    """What the end of one base does to a configuration."""

    base: str
    stops: tuple[Stop, ...]
    """The days that are known of the targets that go, the earliest first."""
    hits: tuple[Hit, ...]
    """Those who have nobody left first, then those who lose their primary, then by name."""
    bases: tuple[str, ...]
    """Every base in the configuration, for who asked for one that is not there."""

    @property
    def nobody(self) -> tuple[Hit, ...]:
        """The routes that nobody would answer."""
        return tuple(hit for hit in self.hits if hit.serves is None)

    def by_owner(self) -> list[tuple[str | None, list[Hit]]]:
        """Return the hits of each owner, owners by name, those without one last."""
        owners: dict[str | None, list[Hit]] = defaultdict(list)
        for hit in self.hits:
            owners[hit.route.owner].append(hit)
        return sorted(owners.items(), key=lambda item: (item[0] is None, item[0] or ""))


def impact(routes: Routes, base: str, *, calendar: Dated, now: datetime) -> Impact:
    """Foresee the end of ``base``: an id, or an alias that stands for all its snapshots."""
    targets = [target for route in routes.routes.values() for target in route.targets]
    is_hit = _made_of(base, calendar)
    hits = [_hit(route, is_hit, calendar, now) for route in routes.routes.values()]
    found = sorted(
        (hit for hit in hits if hit is not None),
        key=lambda hit: (hit.serves is not None, not hit.loses_primary, hit.route.name),
    )
    bases = {calendar.base_of(target) or target.model for target in targets}
    return Impact(base, _stops(found, calendar), tuple(found), tuple(sorted(bases)))


def _stops(hits: list[Hit], calendar: Dated) -> tuple[Stop, ...]:
    found: dict[tuple[date, str], tuple[Dates, str | None, dict[str, None]]] = {}
    for hit in hits:
        for target in hit.loses:
            dates, snapshot = _dated(target, calendar)
            if dates.shutdown is not None:
                names = found.setdefault((dates.shutdown, dates.source), (dates, snapshot, {}))[2]
                names[hit.route.name] = None
    return tuple(
        Stop(dates, snapshot, tuple(names)) for _, (dates, snapshot, names) in sorted(found.items(), key=_first)
    )


def _first(item: tuple[tuple[date, str], object]) -> tuple[date, str]:
    return item[0]


def _dated(target: Target, calendar: Dated) -> tuple[Dates, str | None]:
    """Return a target's dates, or those of the snapshot behind it where it is an alias, and that snapshot."""
    alias = alias_of(target, calendar)
    return (alias.dates, alias.snapshot) if alias else (calendar.dates_of(target), None)


def _made_of(base: str, calendar: Dated) -> Callable[[Target], bool]:
    def is_hit(target: Target) -> bool:
        names = (target.model, calendar.base_of(target))
        return any(name is not None and same_model(base, name) for name in names)

    return is_hit


def _hit(route: Route, is_hit: Callable[[Target], bool], calendar: Dated, now: datetime) -> Hit | None:
    loses = tuple(target for target in route.targets if is_hit(target))
    if not loses:
        return None
    days = (_dated(target, calendar)[0].shutdown for target in loses)
    day = max((day for day in days if day is not None), default=None)
    at = now if day is None else max(now, midnight(day))
    serves = who_answers(route, calendar.dates_of, at, gone=loses)
    return Hit(
        route, loses, day, serves, who_answers(route, calendar.dates_of, now, gone=loses),
        tuple(_findings(route, loses, serves, calendar, at)),
    )  # fmt: skip


def _findings(
    route: Route, loses: tuple[Target, ...], serves: Target | None, calendar: Dated, at: datetime
) -> list[FindingKind]:
    if serves is None:
        return [FindingKind.NOBODY if route.fallbacks else FindingKind.NO_FALLBACK]
    primary = route.primary
    found = []
    others = [fallback for fallback in route.fallbacks if fallback not in loses]
    if any(stops_too(None, calendar.dates_of(fallback), at) for fallback in others):
        found.append(FindingKind.FALLBACK_STOPS)
    if primary is not None and any(shared_base(primary, f, calendar.base_of) for f in route.fallbacks):
        found.append(FindingKind.SHARES_BASE)
    if serves.role is Role.FALLBACK and primary is not None and has_no_prompt(serves.prompt):
        found.append(FindingKind.NO_PROMPT)
    return found
