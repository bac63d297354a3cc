"""The calendar as a list: every model that routes name, or that ships, with what is known of its end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from gateway.config.routes import Routes, Target
from gateway.lifecycle.calendar import Calendar, shipped_dates
from gateway.lifecycle.sources import shipped_models
from gateway.policy.availability import TargetState
from gateway.policy.lifecycle import Dates, state
from gateway.reasons import Lifecycle, Role


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model at one provider."""

    provider: str
    """Its name in routes.yaml; of what ships, the vendor's."""
    kind: str
    model: str
    base: str | None
    dates: Dates
    state: Lifecycle
    days_left: int | None
    """Until its shutdown, in whole days from today's UTC date; negative: past. None: no day is known."""
    routes: tuple[str, ...] = ()
    """The routes that name it, as primary or as fallback."""
    seen: TargetState | None = None
    """What replicas agree on; None: nothing is known."""


def models_of_routes(
    routes: Routes,
    calendar: Calendar,
    now: datetime,
    states: Mapping[tuple[str, str], TargetState] = MappingProxyType({}),
) -> list[ListedModel]:
    """Return each model that routes name, once a provider, the earliest to stop first."""
    named: dict[tuple[str, str], list[Target]] = {}
    by_route: dict[tuple[str, str], dict[str, None]] = {}
    for route in routes.routes.values():
        for target in route.targets:
            key = (target.provider.name, target.model)
            named.setdefault(key, []).append(target)
            by_route.setdefault(key, {})[route.name] = None
    listed = []
    for key, targets in named.items():
        # One id may stand as a primary here and as a fallback there; what is known of the former says more.
        target = max(targets, key=lambda target: (target.role is Role.PRIMARY, target.base is not None))
        dates = calendar.dates_of(target)
        kind, base = target.provider.kind, calendar.base_of(target)
        one = _listed(key[0], kind, key[1], base, dates, now, tuple(by_route[key]))
        listed.append(replace(one, seen=states.get(key)))
    return _sorted(listed)


def shipped(now: datetime) -> list[ListedModel]:
    """Return every model that a shipped source knows, the earliest to stop first."""
    return _sorted(
        _listed(kind, kind, model, None, shipped_dates(kind, model), now, ()) for kind, model in shipped_models()
    )


def as_row(listed: ListedModel) -> dict[str, Any]:
    """Return a model with every field that is known of it, ready for JSON."""
    return {
        "provider": listed.provider,
        "kind": listed.kind,
        "model": listed.model,
        "base": listed.base,
        "routes": list(listed.routes),
        "state": listed.state.value,
        "days_left": listed.days_left,
        "availability": listed.seen.availability.value if listed.seen else None,
        "availability_since": listed.seen.since.isoformat() if listed.seen else None,
        **_said(listed.dates),
        "disputed_by": [_said(claim) for claim in listed.dates.disputed_by],
    }


def _said(dates: Dates) -> dict[str, Any]:
    known = dates.origin is not None
    return {
        "announced": _iso(dates.announced),
        "last_training_day": _iso(dates.last_training_day),
        "shutdown": _iso(dates.shutdown),
        "replacement": dates.replacement,
        "certainty": dates.certainty if known else None,
        "acts": dates.acts if known else None,
        "origin": dates.origin.value if dates.origin else None,
        "source": dates.source or None,
        "read": _iso(dates.read),
        "inherited_from": dates.inherited_from,
        "note": dates.note,
    }


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _listed(
    provider: str, kind: str, model: str, base: str | None, dates: Dates, now: datetime, routes: tuple[str, ...]
) -> ListedModel:
    days_left = (dates.shutdown - now.date()).days if dates.shutdown else None
    return ListedModel(provider, kind, model, base, dates, state(dates, now), days_left, routes)


def _sorted(listed: Iterable[ListedModel]) -> list[ListedModel]:
    return sorted(listed, key=lambda one: (one.dates.shutdown or date.max, one.provider, one.base or "", one.model))
