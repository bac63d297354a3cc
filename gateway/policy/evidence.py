"""Whether a fallback was shown to be good enough, and what waits for that. Pure."""

import hashlib
from collections.abc import Collection
from typing import Any

import orjson

from gateway.config.routes import Cutover, Route, Routes, Target

EvidenceKey = tuple[str, str, str, str, str]
"""Route, provider, model, prompt version and terms: a verdict is on exactly these."""
Accepted = Collection[EvidenceKey]


def terms_of(route: Route, target: Target, margin: float | None = None) -> str:
    """Return 8 hex digits for everything else that a verdict on a target rests on.

    The primary that it is compared with, both their parameters, the contract, and what was asked of it: the measure and
    the margin (``margin`` stands for the route's, where another was named).
    """
    wanted, primary = route.acceptance, route.primary
    what = {
        "primary": (primary.provider.name, primary.model, _parameters(primary)) if primary else None,
        "parameters": _parameters(target),
        "contract": route.contract.model_dump(mode="json") if route.contract else None,
        "acceptance": wanted.model_dump(mode="json") | {"margin": wanted.margin if margin is None else margin},
    }
    return hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]


def evidence_key(route: Route) -> EvidenceKey | None:
    """Return what a verdict on the route's first fallback is known by; None: it has none."""
    if not route.fallbacks:
        return None
    first = route.fallbacks[0]
    version = first.prompt.version if first.prompt else ""
    return (route.name, first.provider.name, first.model, version, terms_of(route, first))


def waits_for_evidence(route: Route, accepted: Accepted) -> bool:
    """Tell whether moves before the shutdown wait: the route asks for evidence, and its fallback has none."""
    return route.cutover.require_evidence and evidence_key(route) not in accepted


def gated(routes: Routes, accepted: Accepted) -> Routes:
    """Return a configuration whose routes without the evidence they ask for move on the day itself, and not before.

    On that day, and once the primary is gone, there is nothing better to answer with: they move all the same.
    """
    waiting = {name: _on_the_day(route) for name, route in routes.routes.items() if waits_for_evidence(route, accepted)}
    return routes.model_copy(update={"routes": {**routes.routes, **waiting}}) if waiting else routes


def _on_the_day(route: Route) -> Route:
    return route.model_copy(update={"cutover": Cutover(at=route.cutover.at, require_evidence=True)})


def _parameters(target: Target) -> dict[str, Any]:
    return target.parameters.model_dump(mode="json")
