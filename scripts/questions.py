"""What several dashboards ask, in PromQL: always summed over replicas, and only of the routes that were chosen."""

from grafana import AMBER, RED, Words, annotation, choice

INTENDED = "shutdown_reached|deprecated_ramp|commanded|no_primary"
"""Reasons for which a fallback answers as planned."""
UNINTENDED = "gone|no_access|suspect|circuit_open|resting"

OWNER = choice("owner", "Owner", "label_values(gateway_route_info, owner)", everything=".*")
ROUTE = choice("route", "Route", 'label_values(gateway_route_info{owner=~"$owner"}, route)')
ONE_ROUTE = choice("route", "Route", "label_values(gateway_route_info, route)", several=False)

ROUTE_LINK = "/d/understudy-route?${datasource:queryparam}&var-route=${__value.raw}&${__url_time_range}"

STATE_WORDS: Words = {
    0: ("primary", "blue"),
    1: ("fallback, as planned", "purple"),
    2: ("fallback, unplanned", AMBER),
    3: ("nobody", RED),
    4: ("nobody", RED),
    5: ("nobody", RED),
}


def route_state() -> str:
    """Return the query of who answers each route: a key of ``STATE_WORDS``."""
    active = 'gateway_route_fallback_active{route=~"$route"'
    return f"""max by (route) ({active}}}) + max by (route) ({active},reason=~"{UNINTENDED}"}})
    + 3 * (min by (route) (gateway_route_living_targets{{route=~"$route"}}) == bool 0)"""


FALLBACK_TOOK_OVER = annotation(
    "Cutovers",
    'max by (route, reason) (delta(gateway_route_fallback_active{route=~"$route"}[$__rate_interval])) > 0',
    "{{route}}: fallback, {{reason}}",
)


def per_s(metric: str, by: str = "", *matchers: str) -> str:
    """Return the sum of a counter's rates."""
    return f"sum{_by(by)} (rate({_chosen(metric, matchers)}[$__rate_interval]))"


def rise(metric: str, by: str = "", *matchers: str) -> str:
    """Return by how much a counter rose over the time shown."""
    return f"sum{_by(by)} (increase({_chosen(metric, matchers)}[$__range]))"


def seen(metric: str, by: str, *matchers: str, per_hour: bool = False, routed: bool = True) -> str:
    """Return the rates of the series that rose at all within the time shown, or one of 0: many never do."""
    chosen = _chosen(metric, matchers) if routed else metric
    rates = f"{'3600 * ' if per_hour else ''}sum by ({by}) (rate({chosen}[$__rate_interval]))"
    return f"({rates} and sum by ({by}) (increase({chosen}[$__range] @ end())) > 0) or on () vector(0)"


def ratio(part: str, whole: str) -> str:
    """Return a share: 0 where there is no part, nothing where there is no whole."""
    return f"(({part}) or 0 * ({whole})) / (({whole}) > 0)"


def quantile(q: float, metric: str, by: str, *, window: str = "$__rate_interval", routed: bool = True) -> str:
    """Return a quantile of a histogram; nothing, instead of not a number, where nothing was observed."""
    chosen = _chosen(f"{metric}_bucket", ()) if routed else f"{metric}_bucket"
    return f"histogram_quantile({q:g}, sum{_by(f'le, {by}' if by else 'le')} (rate({chosen}[{window}]))) >= 0"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _chosen(metric: str, matchers: tuple[str, ...]) -> str:
    within = ",".join(('route=~"$route"', *matchers))
    return f"{metric}{{{within}}}"
