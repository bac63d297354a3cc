"""Which routes the end of one base model hits, and who answers them then. No I/O."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.config.routes import Route, Routes, Target
from gateway.lifecycle.forecast import Dated, who_answers
from gateway.lifecycle.forecast_findings import FindingKind, shared_base, stops_too
from gateway.policy.lifecycle import Dates, midnight
from gateway.policy.substitution import same_model
from gateway.reasons import Role


@dataclass(frozen=True, slots=True)
class Hit:
    """One route that has something to lose."""

    route: Route
    loses: tuple[Target, ...]
    """Its targets that are this base, or made of it."""
    serves: Target | None
    """Who answers once they are gone, on the base's date or today if there is none; None: nobody."""
    serves_today: Target | None
    """Who would answer if they were gone today."""
    findings: tuple[FindingKind, ...]

    @property
    def loses_primary(self) -> bool:
        """Whether its primary goes."""
        return any(target.role is Role.PRIMARY for target in self.loses)


@dataclass(frozen=True, slots=True)
class Impact:
    """What the end of one base does to a configuration."""

    base: str
    at: datetime
    dates: Dates | None
    """The earliest that is known of the targets that go; None: no date is known."""
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
    known = [calendar.dates_of(target) for target in targets if is_hit(target)]
    dated = [found for found in known if found.shutdown is not None]
    dates = min(dated, key=lambda found: found.shutdown or now.date(), default=None)
    at = max(now, midnight(dates.shutdown)) if dates and dates.shutdown else now
    hits = [_hit(route, is_hit, calendar, now, at) for route in routes.routes.values()]
    found = sorted(
        (hit for hit in hits if hit is not None),
        key=lambda hit: (hit.serves is not None, not hit.loses_primary, hit.route.name),
    )
    bases = {calendar.base_of(target) or target.model for target in targets}
    return Impact(base, at, dates, tuple(found), tuple(sorted(bases)))


def _made_of(base: str, calendar: Dated) -> Callable[[Target], bool]:
    def is_hit(target: Target) -> bool:
        names = (target.model, calendar.base_of(target))
        return any(name is not None and same_model(base, name) for name in names)

    return is_hit


def _hit(route: Route, is_hit: Callable[[Target], bool], calendar: Dated, now: datetime, at: datetime) -> Hit | None:
    loses = tuple(target for target in route.targets if is_hit(target))
    if not loses:
        return None
    serves = who_answers(route, calendar.dates_of, at, gone=loses)
    return Hit(
        route, loses, serves, who_answers(route, calendar.dates_of, now, gone=loses),
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
    if serves.role is Role.FALLBACK and primary is not None and serves.prompt is None:
        found.append(FindingKind.NO_PROMPT)
    return found
