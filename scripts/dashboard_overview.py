"""What runs on what now, is it meant, and what does it cost."""

from dashboard_gateway import callers, ledger, replicas, upstreams
from grafana import (
    AMBER,
    ANY,
    ANY_RED,
    QUIET,
    RED,
    Column,
    Json,
    Panel,
    Query,
    Section,
    dashboard,
    lines,
    stat,
    states,
    table,
)
from questions import (
    FALLBACK_TOOK_OVER,
    OWNER,
    ROUTE,
    ROUTE_LINK,
    STATE_WORDS,
    UNINTENDED,
    per_s,
    quantile,
    ratio,
    rise,
    route_state,
    seen,
)

ERROR_SHARE = ((QUIET, None), (AMBER, 0.001), (RED, 0.01))
LAG_S = ((QUIET, None), (AMBER, 30), (RED, 300))


def overview() -> Json:
    """Return the dashboard that hangs on the wall."""
    sections = [
        Section("Is anything wrong?", [(4, _trouble()), (4, _figures())]),
        Section("Who answers", [(11, [_routes()]), (9, [_over_time()]), (6, [_alerts()])]),
        Section("Traffic, speed and cost, all routes together", [(8, _traffic()), (8, _speed())]),
        Section("The gateway itself", [(7, replicas()), (7, callers()), (7, ledger()), (7, upstreams())], folded=True),
    ]
    return dashboard(
        "understudy-overview",
        "Understudy / Overview",
        "Which routes run on what now, is that what we meant, how fast is it and what does it cost?",
        sections,
        [OWNER, ROUTE],
        annotations=[FALLBACK_TOOK_OVER],
    )


def _trouble() -> list[Panel]:
    unintended = f'max by (route) (gateway_route_fallback_active{{route=~"$route",reason=~"{UNINTENDED}"}}) == 1'
    return [
        stat(
            "Routes with nobody left",
            "Routes of which no target could answer now, as seen by the replica that sees the least. Their callers "
            "get errors.",
            Query('count(min by (route) (gateway_route_living_targets{route=~"$route"}) == 0) or vector(0)'),
            unit="suffix:routes",
            steps=ANY_RED,
            width=4,
        ),
        stat(
            "Routes on an unplanned fallback",
            "Routes whose fallback answers because the primary is gone, closed to us or failing: not because a date, "
            "a ramp or a person said so.",
            Query(f"count({unintended}) or vector(0)"),
            unit="suffix:routes",
            steps=ANY,
            width=4,
        ),
        stat(
            "Errors",
            "Share of requests that ended with a 5xx, over the time shown. 429 and callers who left are not errors of "
            "ours.",
            Query(ratio(rise("gateway_requests_total", "", 'code=~"5.."'), rise("gateway_requests_total"))),
            unit="percentunit",
            steps=ERROR_SHARE,
            decimals=2,
            width=4,
        ),
        stat(
            "Replicas not ready",
            "Replicas that answer Prometheus and would not take requests now. One that does not answer at all is not "
            "counted.",
            Query("count(gateway_ready == 0) or vector(0)"),
            unit="suffix:replicas",
            steps=ANY_RED,
            width=3,
        ),
        stat(
            "Ledger behind by",
            "Age of the oldest row that has not reached the database, on the replica that is furthest behind. Nothing "
            "is lost: the journal has it.",
            Query("max(gateway_ledger_oldest_unflushed_seconds)"),
            unit="s",
            steps=LAG_S,
            width=3,
            empty="no ledger",
        ),
        stat(
            "Configurations in use",
            "Different routes.yaml among the replicas. More than one for longer than a rollout takes is a fault.",
            Query("count(count by (config_hash) (gateway_config_info))"),
            unit="none",
            steps=((QUIET, None), (AMBER, 2)),
            width=3,
            empty="unknown",
        ),
        stat(
            "Reload refused",
            "Replicas that found a mistake in the routes.yaml on their disk and go on with the one before.",
            Query("sum(gateway_config_reload_failed)"),
            unit="suffix:replicas",
            steps=ANY,
            width=3,
        ),
    ]


def _figures() -> list[Panel]:
    by_fallback = rise("gateway_request_duration_seconds_count", "", 'served_by="fallback"')
    return [
        stat(
            "Answered by fallbacks",
            "Share of answered requests that a fallback answered, for whatever reason, over the time shown.",
            Query(ratio(by_fallback, rise("gateway_request_duration_seconds_count"))),
            unit="percentunit",
            decimals=1,
            width=4,
        ),
        stat(
            "Requests",
            "Requests per second over the time shown, refused ones included.",
            Query('sum(rate(gateway_requests_total{route=~"$route"}[$__range]))'),
            unit="reqps",
            decimals=1,
            width=4,
        ),
        stat(
            "Time of an answer, p95",
            "19 of 20 answers took no longer than this from the request's first byte to the answer's last, over the "
            "time shown.",
            Query(quantile(0.95, "gateway_request_duration_seconds", "", window="$__range")),
            unit="s",
            width=4,
        ),
        stat(
            "First token, p95",
            "19 of 20 streams began within this, over the time shown.",
            Query(quantile(0.95, "gateway_time_to_first_token_seconds", "", window="$__range")),
            unit="s",
            width=4,
            empty="no streams",
        ),
        stat(
            "Cost per hour",
            "What callers' requests cost by the hour, over the time shown. Attempts without a price are not in it.",
            Query('3600 * sum(rate(gateway_cost_usd_total{route=~"$route"}[$__range]))'),
            unit="currencyUSD",
            decimals=2,
            width=4,
        ),
        stat(
            "Next to stop",
            "Days until the next primary of a route stops, as the calendar knows it. Those that have stopped are not "
            "counted.",
            Query(
                """bottomk(1, min by (model) (
                gateway_route_primary_sunset_timestamp_seconds{route=~"$route"}) - time() > 0) / 86400""",
                "{{model}}",
            ),
            unit="suffix:days",
            steps=((RED, None), (AMBER, 7), (QUIET, 30)),
            decimals=0,
            width=4,
            empty="no date known",
            shown="value_and_name",
        ),
    ]


def _routes() -> Panel:
    answered = rise("gateway_request_duration_seconds_count", "route")
    by_fallback = rise("gateway_request_duration_seconds_count", "route", 'served_by="fallback"')
    wrong = rise("gateway_requests_total", "route", 'code=~"5.."')
    sunset = 'min by (route) (gateway_route_primary_sunset_timestamp_seconds{route=~"$route"})'
    exercised = 'max by (route) (gateway_route_fallback_exercised_timestamp_seconds{route=~"$route"})'
    return table(
        "Routes",
        "A row a route, trouble first. Shares, times and cost are those of the time shown; who answers is of now.",
        {
            "info": 'max by (route, owner) (gateway_route_info{route=~"$route"})',
            "state": route_state(),
            "why": 'topk by (route) (1, max by (route, reason) (gateway_route_fallback_active{route=~"$route"}) == 1)',
            "fallback": ratio(by_fallback, answered),
            "requests": 'sum by (route) (rate(gateway_requests_total{route=~"$route"}[$__range]))',
            "errors": ratio(wrong, rise("gateway_requests_total", "route")),
            "p95": quantile(0.95, "gateway_request_duration_seconds", "route", window="$__range"),
            "first": quantile(0.95, "gateway_time_to_first_token_seconds", "route", window="$__range"),
            "cost": f"1000 * {ratio(rise('gateway_cost_usd_total', 'route'), answered)} > 0",
            "days": f"({sunset} - time()) / 86400",
            "most": f"topk by (route) (1, {rise('gateway_input_tokens_total', 'route, model')} > 0)",
            "exercised": f"time() - ({exercised} > 0) or -1 * ({exercised} == bool 0)",
        },
        [
            Column("route", "Route", link=ROUTE_LINK, width=200),
            Column("owner", "Owner", width=120),
            Column("state", "Answers", words=STATE_WORDS, width=180),
            Column("reason", "Reason", width=130),
            Column("fallback", "On fallback", "percentunit", decimals=0, bar=True),
            Column("requests", "Requests", "reqps", decimals=2),
            Column("errors", "Errors", "percentunit", ERROR_SHARE, decimals=2),
            Column("p95", "p95", "s"),
            Column("first", "First token p95", "s"),
            Column("cost", "Per 1,000 requests", "currencyUSD", decimals=3),
            Column("days", "Primary stops in", "suffix:days", ((RED, None), (AMBER, 7), (QUIET, 30)), decimals=0),
            Column("model", "Mostly answered by", width=300),
            Column("exercised", "Fallback last tried", "s", words={-1: ("never", AMBER)}),
        ],
        join="route",
        sort=("Answers", True),
    )


def _over_time() -> Panel:
    return states(
        "Who answered when",
        "A band a route: its primary, its fallback as planned (a date, a ramp, a person, no primary yet), or its "
        "fallback because something is wrong.",
        Query(route_state(), "{{route}}"),
        words=STATE_WORDS,
    )


def _alerts() -> Panel:
    return table(
        "What fires now",
        "Alerts of the shipped rules. None is the usual state; without the rules in Prometheus there are none either.",
        {
            "alerts": """sum by (severity, alertname, route, owner, base)
            (ALERTS{product="understudy", alertstate="firing"})"""
        },
        [
            Column("severity", "Severity", width=120),
            Column("alertname", "Alert", width=320),
            Column("route", "Route"),
            Column("base", "Base"),
            Column("owner", "Owner"),
        ],
        sort=("Severity", False),
        empty="nothing fires",
    )


def _traffic() -> list[Panel]:
    return [
        lines(
            "Answers, by who gave them",
            "Answered requests per second. Requests that were refused or failed are in the panel beside.",
            Query(per_s("gateway_request_duration_seconds_count", "served_by"), "{{served_by}}"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        lines(
            "Answers that were none",
            "Requests per second that ended with a status of 400 or more, by status.",
            Query(seen("gateway_requests_total", "code", 'code=~"4..|5.."'), "{{code}}"),
            unit="reqps",
            width=8,
        ),
        lines(
            "Cost per hour, by team",
            "What callers' requests cost by the hour; the team is the route's owner.",
            Query(seen("gateway_cost_usd_total", "team", per_hour=True), "{{team}}"),
            unit="currencyUSD",
            width=8,
            stacked=True,
        ),
    ]


def _speed() -> list[Panel]:
    return [
        lines(
            "How long answers took, p95",
            "From the request's first byte to the answer's last, streams included.",
            Query(quantile(0.95, "gateway_request_duration_seconds", "served_by"), "{{served_by}}"),
            unit="s",
            width=8,
        ),
        lines(
            "How soon streams began, p95",
            "Until the first event of a streamed answer.",
            Query(quantile(0.95, "gateway_time_to_first_token_seconds", "served_by"), "{{served_by}}"),
            unit="s",
            width=8,
        ),
        lines(
            "What the gateway adds, p99",
            "Time of an answer without the wait for upstreams; of answers that are not streamed.",
            Query(quantile(0.99, "gateway_overhead_seconds", "endpoint", routed=False), "{{endpoint}}"),
            unit="s",
            width=8,
        ),
    ]
