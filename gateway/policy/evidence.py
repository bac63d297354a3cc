"""Whether a fallback was shown to be good enough, and what waits for that. Pure."""

from collections.abc import Collection

from gateway.config.routes import Cutover, Route, Routes

EvidenceKey = tuple[str, str, str, str]
"""Route, provider, model and prompt version: a verdict is on exactly these."""
Accepted = Collection[EvidenceKey]


def evidence_key(route: Route) -> EvidenceKey | None:
    """Return what a verdict on the route's first fallback is known by; None: it has none."""
    if not route.fallbacks:
        return None
    first = route.fallbacks[0]
    return (route.name, first.provider.name, first.model, first.prompt.version if first.prompt else "")


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
