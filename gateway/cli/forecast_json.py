"""A forecast as JSON: for dashboards, and for whoever wants to count differently. Money is in nano-dollars."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from gateway.learning.evidence_words import as_object as evidence_as_object
from gateway.lifecycle.forecast_headline import headline

if TYPE_CHECKING:
    from gateway.config.routes import Target
    from gateway.lifecycle.forecast import Forecast, RouteForecast
    from gateway.lifecycle.forecast_traffic import Load
    from gateway.policy.lifecycle import Dates


def as_object(found: "Forecast") -> dict[str, Any]:
    """Return the whole forecast; routes in trouble come first."""
    horizon, traffic = found.horizon, found.traffic
    return {
        "headline": headline(found),
        "now": horizon.now.isoformat(),
        "until": horizon.until.isoformat(),
        "routes_total": len(found.routes),
        "routes_lost": len(found.lost),
        "routes_gone": [row.route.name for row in found.routes if row.gone is not None],
        "nobody": [row.route.name for row in found.nobody],
        "nothing_kept_in": found.nothing_kept_in,
        "traffic": None if traffic is None else {"since": _iso(traffic.since), "until": _iso(traffic.until)},
        "loads": [_load(load) for load in found.loads],
        "routes": [_route(row, found) for row in found.routes],
    }


def dates_as_object(dates: "Dates") -> dict[str, Any]:
    """Return what is known of a model's dates, and by whom."""
    return {
        "announced": _iso(dates.announced),
        "last_training_day": _iso(dates.last_training_day),
        "shutdown": _iso(dates.shutdown),
        "replacement": dates.replacement,
        "certainty": dates.certainty,
        "acts": dates.acts,
        "origin": dates.origin.value if dates.origin else None,
        "source": dates.source or None,
        "read": _iso(dates.read),
        "inherited_from": dates.inherited_from,
        "disputed_by": [
            {"shutdown": _iso(other.shutdown), "origin": other.origin and other.origin.value, "source": other.source}
            for other in dates.disputed_by
        ],
    }


def target_as_object(target: "Target | None") -> dict[str, Any] | None:
    """Return who a target is; None stands for nobody."""
    if target is None:
        return None
    return {
        "target": target.name,
        "served_by": target.role.value,
        "provider": target.provider.name,
        "model": target.model,
    }


def _route(row: "RouteForecast", found: "Forecast") -> dict[str, Any]:
    cost, demand = row.cost, row.demand
    evidence = None if found.evaluations is None else found.evidence_on(row)
    return {
        "route": row.route.name,
        "owner": row.route.owner,
        "stops": {**(target_as_object(row.main) or {}), "base": row.base, **dates_as_object(row.dates)},
        "days_left": row.days_left,
        "lost": row.lost,
        "gone": None
        if row.gone is None
        else {"availability": row.gone.availability.value, "since": _iso(row.gone.since)},
        "traffic_moves": {"begins": _iso(row.begins), "complete": _iso(row.complete)},
        "at": row.at.isoformat(),
        "plan": [
            {**(target_as_object(step.target) or {}), "reason": step.reason and step.reason.value}
            for step in row.plan.steps
        ],
        "serves": target_as_object(row.serves),
        "serves_is_alias_that_stops": row.on_alias,
        "evidence": evidence_as_object(evidence),
        "cost": {
            "basis": cost.basis.value,
            "before_nanousd_per_1000": cost.before_nanousd_per_1000,
            "after_nanousd_per_1000": cost.after_nanousd_per_1000,
            "requests_per_month": cost.requests_per_month,
            "change_nanousd_per_month": cost.change_nanousd_per_month,
        },
        "requests": None
        if demand is None
        else {
            "counted": demand.requests,
            "refused": demand.refused,
            "altered": demand.altered,
            "refused_by_trait": dict(demand.refused_by_trait),
            "altered_by_trait": dict(demand.altered_by_trait),
            "sources": dict(demand.sources),
        },
        "findings": [
            {"kind": finding.kind.value, "text": finding.text, "remedy": finding.remedy} for finding in row.findings
        ],
    }


def _load(load: "Load") -> dict[str, Any]:
    limits = load.limits
    return {
        "provider": load.target[0],
        "model": load.target[1],
        "routes": list(load.routes),
        "peak_input_tokens_per_minute": load.input_tokens_per_minute,
        "peak_tokens_at": _iso(load.tokens_at),
        "peak_requests_per_minute": load.requests_per_minute,
        "peak_requests_at": _iso(load.requests_at),
        "limit_tokens_per_minute": limits.tokens_per_minute if limits else None,
        "limit_requests_per_minute": limits.requests_per_minute if limits else None,
        "limits_seen_at": _iso(limits.seen_at) if limits else None,
    }


def _iso(value: date | datetime | None) -> str | None:
    return None if value is None else value.isoformat()
