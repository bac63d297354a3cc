"""What speaks for and against a version of a route's model: dates, what was seen of it, where it can be called."""

from collections.abc import Callable
from datetime import datetime

from gateway.config.routes import Provider, Route, Routes, Target
from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.forecast import States, is_gone, is_retired, who_answers
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates
from gateway.policy.promotion import PromotionState, Version, target_of, unfit
from gateway.policy.promotion_rules import Against
from gateway.reasons import Availability, Role

Lacks = Callable[[Provider], str | None]


def target_for(version: Version, route: Route, routes: Routes) -> Target | None:
    """Return a version as the primary of its route; None: this configuration does not have its provider."""
    provider = routes.providers.get(version.provider)
    if provider is None:
        return None
    if route.primary is not None:
        return target_of(route, version, provider)
    return Target(name="primary", role=Role.PRIMARY, provider=provider, model=version.model, base=version.base)


def dates_of(version: Version, route: Route, routes: Routes, calendar: Calendar) -> Dates:
    """Return what all sources say of a version's model."""
    target = target_for(version, route, routes)
    return calendar.dates_of(target) if target is not None else UNKNOWN_DATES


def against(
    version: Version,
    route: Route,
    routes: Routes,
    *,
    calendar: Calendar,
    states: States,
    lacks: Lacks,
    now: datetime,
    verdict: str | None = None,
    state: PromotionState = PromotionState.SERVING,
) -> Against:
    """Return what may speak against sending requests to a version, as a canary or as the primary.

    ``route`` and ``routes`` are as routes.yaml has them; ``lacks`` says what a provider cannot be called without.
    """
    target, tenant = target_for(version, route, routes), route.tenant or ""
    if target is None:
        return Against(provider_is_known=False, tenant=tenant)
    dates, seen = calendar.dates_of(target), states.get((version.provider, version.model))
    return Against(
        # Dates that only warn are told, and stop nobody: the model may well be there.
        stopped=dates.shutdown if dates.acts and is_retired(dates, now) else None,
        seen=seen.availability if seen is not None else Availability.UNKNOWN,
        lacks=lacks(target.provider),
        tenant=tenant,
        unfit=_unfit(route, target, state),
        verdict=verdict,
    )


def _unfit(route: Route, target: Target, state: PromotionState) -> str | None:
    for fallback in route.fallbacks:
        if (fallback.provider.name, fallback.model) == (target.provider.name, target.model):
            return f"it is the route's fallback {fallback.name!r}, and nobody would answer in its place"
    return unfit(route, target, state) if route.primary is not None else None


def answers_without(
    version: Version, route: Route, routes: Routes, *, calendar: Calendar, states: States, now: datetime
) -> Target | None:
    """Return who answers a route whose primary is this version, which cannot; None: nobody."""
    target = target_for(version, route, routes)
    as_primary = route.model_copy(update={"primary": target})
    gone = [each for each in as_primary.targets if is_gone(states.get((each.provider.name, each.model)))]
    return who_answers(as_primary, calendar.dates_of, now, [*gone, *([target] if target is not None else [])])
