"""What each route costs, on which target."""

from grafana import AMBER, ANY, QUIET, Column, Json, Panel, Query, Section, choice, dashboard, lines, stat, table
from questions import ROUTE_LINK, per_s, ratio, rise, seen

COST = "gateway_cost_usd_total"
ANSWERED = "gateway_request_duration_seconds_count"
TEAM = choice("team", "Team", "label_values(gateway_cost_usd_total, team)", everything=".*")
ROUTE = choice("route", "Route", 'label_values(gateway_cost_usd_total{team=~"$team"}, route)')
HOURS_A_MONTH = 730


def cost() -> Json:
    """Return the dashboard of money."""
    sections = [
        Section("What does it cost?", [(4, _sums()), (4, _beside())]),
        Section("Routes", [(11, [_routes()])]),
        Section("Over time", [(9, _over_time()), (8, _per_request())]),
        Section("What is not in these sums", [(8, _missing())]),
    ]
    return dashboard(
        "understudy-cost",
        "Understudy / Cost",
        "What does each route cost, on which target, and what does a fallback cost more?",
        sections,
        [TEAM, ROUTE],
        since="now-24h",
    )


def _per_answer(served_by: str) -> str:
    """Return dollars per answer of each route, by one part; nothing where that part gave none."""
    where = f'served_by="{served_by}"'
    return f"{rise(COST, 'route', where)} / ({rise(ANSWERED, 'route', where)} > 0)"


def _extra() -> str:
    """Return by how much the fallback's answers cost more than the primary's would have, where both gave some."""
    by_fallback = rise(ANSWERED, "route", 'served_by="fallback"')
    return f"({_per_answer('fallback')} - {_per_answer('primary')}) * ({by_fallback})"


def _sums() -> list[Panel]:
    return [
        stat(
            "Cost",
            "What callers' requests cost in the time shown. Rehearsals, recordings and evaluations are not in it.",
            Query(rise(COST)),
            unit="currencyUSD",
            decimals=2,
            width=6,
        ),
        stat(
            "Per hour",
            "The mean of the time shown.",
            Query(f'3600 * sum(rate({COST}{{route=~"$route"}}[$__range]))'),
            unit="currencyUSD",
            decimals=3,
            width=6,
        ),
        stat(
            "A month at this rate",
            "730 hours at the mean of the time shown: choose a whole week for a fair one.",
            Query(f'{HOURS_A_MONTH} * 3600 * sum(rate({COST}{{route=~"$route"}}[$__range]))'),
            unit="currencyUSD",
            decimals=0,
            width=6,
        ),
        stat(
            "1,000 requests",
            "Cost by 1,000 answers, all routes together.",
            Query(f"1000 * {ratio(rise(COST), rise(ANSWERED))}"),
            unit="currencyUSD",
            decimals=3,
            width=6,
        ),
    ]


def _beside() -> list[Panel]:
    return [
        stat(
            "Extra cost of fallbacks",
            "What the fallbacks' answers cost beyond what the primary's cost by answer, of routes where both answered "
            "in the time shown. Below 0 the fallback is cheaper. gateway report computes it where the primary did not "
            "answer.",
            Query(f"sum({_extra()}) or vector(0)"),
            unit="currencyUSD",
            decimals=3,
            width=6,
        ),
        stat(
            "Rehearsals",
            "What rehearsals cost in the time shown, beside the sums above.",
            Query(f"{rise('gateway_rehearsal_cost_usd_total')} or vector(0)"),
            unit="currencyUSD",
            decimals=3,
            width=6,
        ),
        stat(
            "Attempts without a price",
            "Attempts in the time shown whose model has no price: they are in no sum of this page, and were not free. "
            "All routes.",
            Query("sum(increase(gateway_unpriced_requests_total[$__range]))"),
            unit="suffix:attempts",
            steps=ANY,
            decimals=0,
            width=6,
        ),
        stat(
            "Attempts whose tokens were estimated",
            "Attempts in the time shown whose provider did not count tokens credibly: their cost is an estimate. All "
            "routes.",
            Query(
                "sum(increase(gateway_usage_estimated_total[$__range])) + "
                "sum(increase(gateway_usage_rejected_total[$__range]))"
            ),
            unit="suffix:attempts",
            steps=((QUIET, None), (AMBER, 100)),
            decimals=0,
            width=6,
        ),
    ]


def _routes() -> Panel:
    by_fallback = rise(ANSWERED, "route", 'served_by="fallback"')
    return table(
        "Routes",
        "A row a route, the dearest first, over the time shown. Extra is what its fallback's answers cost beyond the "
        "primary's, where both answered. Without a number: nobody answered, or the model has no price.",
        {
            "whose": f'max by (route, team) ({COST}{{route=~"$route"}})',
            "cost": f"{rise(COST, 'route')} > 0",
            "answers": rise(ANSWERED, "route"),
            "thousand": f"1000 * {ratio(rise(COST, 'route'), rise(ANSWERED, 'route'))} > 0",
            "primary": f"1000 * {_per_answer('primary')} > 0",
            "fallback": f"1000 * {_per_answer('fallback')} > 0",
            "share": ratio(by_fallback, rise(ANSWERED, "route")),
            "extra": _extra(),
            "cached": ratio(
                rise("gateway_cached_input_tokens_total", "route"), rise("gateway_input_tokens_total", "route")
            ),
        },
        [
            Column("route", "Route", link=ROUTE_LINK),
            Column("team", "Team"),
            Column("cost", "Cost", "currencyUSD", decimals=3),
            Column("answers", "Answers", "short", decimals=0),
            Column("thousand", "1,000 requests", "currencyUSD", decimals=3),
            Column("primary", "On the primary", "currencyUSD", decimals=3),
            Column("fallback", "On the fallback", "currencyUSD", decimals=3),
            Column("share", "On fallback", "percentunit", decimals=0, bar=True),
            Column("extra", "Extra", "currencyUSD", decimals=3),
            Column("cached", "Input from cache", "percentunit", decimals=0, bar=True),
        ],
        join="route",
        sort=("Cost", True),
        empty="–",
    )


def _over_time() -> list[Panel]:
    def by(label: str, text: str) -> Panel:
        return lines(
            f"Cost per hour, by {label}",
            text,
            Query(seen(COST, label, per_hour=True), f"{{{{{label}}}}}"),
            unit="currencyUSD",
            width=8,
            stacked=True,
            decimals=3,
        )

    return [
        by("route", "What callers' requests cost by the hour."),
        by("team", "The team is the route's owner."),
        by("model", "By the model that was called, failed attempts included where the provider bills them."),
    ]


def _per_request() -> list[Panel]:
    by = "route, served_by"
    return [
        lines(
            "Cost of 1,000 requests, by route and who answered",
            "Two curves of one route on one scale: what the fallback costs beside the primary.",
            Query(f"1000 * {ratio(per_s(COST, by), per_s(ANSWERED, by))} > 0", "{{route}} · {{served_by}}"),
            unit="currencyUSD",
            width=16,
            decimals=3,
            colours={},
        ),
        lines(
            "Tokens per second, by kind",
            "Input that was not cached, input read from a cache, and output, reasoning included.",
            Query(
                f"{per_s('gateway_input_tokens_total')} - {per_s('gateway_cached_input_tokens_total')}",
                "input, not cached",
            ),
            Query(per_s("gateway_cached_input_tokens_total"), "input, cached"),
            Query(per_s("gateway_output_tokens_total"), "output"),
            unit="suffix:tokens/s",
            width=8,
            stacked=True,
            colours={},
        ),
    ]


def _missing() -> list[Panel]:
    return [
        lines(
            "Rehearsals, cost per hour",
            "By route. Each route's limit for the day is max_usd_per_day of its rehearsal in routes.yaml.",
            Query(seen("gateway_rehearsal_cost_usd_total", "route", per_hour=True), "{{route}}"),
            unit="currencyUSD",
            width=12,
            stacked=True,
            decimals=3,
        ),
        lines(
            "Attempts without a price, per hour",
            "By model. Name a price under prices: in routes.yaml.",
            Query(seen("gateway_unpriced_requests_total", "model", per_hour=True, routed=False), "{{model}}"),
            unit="suffix:per hour",
            width=12,
            steps=ANY,
        ),
    ]
