"""What stops next, and are we ready."""

from grafana import (
    AMBER,
    ANY,
    ANY_RED,
    CALM,
    QUIET,
    RED,
    Column,
    Json,
    Panel,
    Query,
    Section,
    Steps,
    Words,
    bars,
    dashboard,
    lines,
    stat,
    table,
)
from questions import OWNER, ROUTE, ROUTE_LINK, seen

SUNSET = 'gateway_route_primary_sunset_timestamp_seconds{route=~"$route"}'
EXERCISED = 'gateway_route_fallback_exercised_timestamp_seconds{route=~"$route"}'
BY_SOURCE = "min by (provider, model, source) (gateway_model_sunset_timestamp_seconds)"
DAY_S = 86_400
DAYS = ((RED, None), (AMBER, 30), (QUIET, 90))
NEVER: Words = {-1: ("never", RED)}


def calendar() -> Json:
    """Return the dashboard of what stops when."""
    sections = [
        Section("What stops next, and are we ready?", [(4, _counts()), (4, _readiness())]),
        Section("Routes, by the day their primary stops", [(11, [_routes()])]),
        Section("Models", [(9, [_days_left(), _disagreement()]), (9, [_sources()])]),
        Section("Where dates come from", [(7, _polls())], folded=True),
    ]
    return dashboard(
        "understudy-calendar",
        "Understudy / Deprecation calendar",
        "Which models stop next, who is affected, and is the fallback known to work?",
        sections,
        [OWNER, ROUTE],
        since="now-24h",
    )


def _counts() -> list[Panel]:
    left = f"min by (route) ({SUNSET}) - time()"

    def within(days: int, steps: Steps) -> Panel:
        return stat(
            f"Routes whose primary stops in {days} days",
            "Counted by the date that the calendar believes; what has stopped already is in the panel beside.",
            Query(f"count(({left}) > 0 and ({left}) <= {days * DAY_S}) or vector(0)"),
            unit="suffix:routes",
            steps=steps,
            width=5,
        )

    return [
        within(7, ANY_RED),
        within(30, ANY),
        within(90, CALM),
        stat(
            "Past its day, and still the primary",
            "Routes whose primary has stopped by the calendar and still stands in routes.yaml: their fallback plays "
            "for good.",
            Query(f"count(({left}) <= 0) or vector(0)"),
            unit="suffix:routes",
            steps=ANY,
            width=5,
        ),
        stat(
            "Next to stop",
            "Days until the next primary stops.",
            Query(f"bottomk(1, min by (model) ({SUNSET}) - time() > 0) / {DAY_S}", "{{model}}"),
            unit="suffix:days",
            steps=((RED, None), (AMBER, 7), (QUIET, 30)),
            decimals=0,
            width=4,
            empty="no date known",
            shown="value_and_name",
        ),
    ]


def _readiness() -> list[Panel]:
    soon = f"(min by (route) ({SUNSET}) - time()) < {30 * DAY_S}"
    return [
        stat(
            "Stops in 30 days, fallback never tried",
            "Routes whose primary stops within 30 days, or has, and whose fallback never answered anything. A "
            "rehearsal would.",
            Query(f"count(({soon}) and max by (route) ({EXERCISED}) == 0) or vector(0)"),
            unit="suffix:routes",
            steps=ANY_RED,
            width=6,
        ),
        stat(
            "Stops in 30 days, no fallback",
            "Routes whose primary stops within 30 days, or has, and that have no fallback: callers will get errors.",
            Query(f"count(({soon}) unless max by (route) ({EXERCISED})) or vector(0)"),
            unit="suffix:routes",
            steps=ANY_RED,
            width=6,
        ),
        stat(
            "Fallback never tried",
            "Routes whose fallback has never answered anything, whenever their primary stops.",
            Query(f"count(max by (route) ({EXERCISED}) == 0) or vector(0)"),
            unit="suffix:routes",
            steps=ANY,
            width=6,
        ),
        stat(
            "Models whose sources differ",
            "Models of which one source says another day than another. The calendar believes the best of them, and "
            "shows the rest.",
            Query(f"count({_differing()}) or vector(0)"),
            unit="suffix:models",
            steps=ANY,
            width=6,
        ),
    ]


def _routes() -> Panel:
    date = f"min by (route, owner, provider, model, base) ({SUNSET})"
    believed = f"""topk by (provider, model) (1,
    {BY_SOURCE} == on (provider, model) group_left () min by (provider, model) ({SUNSET}))"""
    source = f"""max by (route, source) (max by (route, provider, model) ({SUNSET})
    * on (provider, model) group_left (source) ({believed} * 0 + 1))"""
    tried = f"max by (route) ({EXERCISED})"
    return table(
        "Routes",
        "A row a route whose primary has a date (00:00 UTC), the next one first. Source is who says so: the operator, "
        "the provider's own API, or a list that ships. Never tried is a fallback of which nobody knows whether it "
        "works.",
        {
            "date": f"1000 * {date}",
            "left": f"min by (route) ({SUNSET} - time()) / {DAY_S}",
            "by": source,
            "tried": f"(time() - ({tried} > 0) or -1 * ({tried} == bool 0)) and max by (route) ({SUNSET})",
        },
        [
            Column("date", "Stops on", "time:YYYY-MM-DD", width=190),
            Column("left", "Days left", "suffix:days", DAYS, decimals=0, width=110),
            Column("route", "Route", link=ROUTE_LINK),
            Column("owner", "Owner"),
            Column("model", "Model", width=420),
            Column("base", "Base"),
            Column("provider", "Provider"),
            Column("source", "Source"),
            Column("tried", "Fallback last tried", "s", words=NEVER, width=150),
        ],
        join="route",
        sort=("Days left", False),
        empty="–",
    )


def _differing() -> str:
    furthest, nearest = (f"{of} by (provider, model) (gateway_model_sunset_timestamp_seconds)" for of in ("max", "min"))
    return f"({furthest} - {nearest}) / {DAY_S} > 0"


def _days_left() -> Panel:
    earliest = "min by (provider, model) (gateway_model_sunset_timestamp_seconds)"
    return bars(
        "Days left, by model",
        "Every model that a route names, primaries and fallbacks, by the earliest date of any source. The scale ends "
        "at a year; models without a date are not shown.",
        Query(f"sort(({earliest} - time()) / {DAY_S})", "{{model}}"),
        unit="suffix:days",
        steps=DAYS,
        most=365,
        width=14,
    )


def _disagreement() -> Panel:
    return table(
        "Sources that differ",
        "Models of which sources name different days, and how far apart these are. No row is the usual state.",
        {"apart": _differing()},
        [
            Column("provider", "Provider"),
            Column("model", "Model", width=320),
            Column("apart", "Apart", "suffix:days", ((AMBER, None),), decimals=0),
        ],
        sort=("Apart", True),
        width=10,
        empty="all agree",
    )


def _sources() -> Panel:
    return table(
        "Dates, by source",
        "A row for each model and source that names a day.",
        {"date": f"1000 * {BY_SOURCE}", "left": f"({BY_SOURCE} - time()) / {DAY_S}"},
        [
            Column("date", "Stops on", "time:YYYY-MM-DD", width=190),
            Column("left", "Days left", "suffix:days", DAYS, decimals=0, width=110),
            Column("model", "Model", width=480),
            Column("provider", "Provider"),
            Column("source", "Source"),
        ],
        sort=("Days left", False),
    )


def _polls() -> list[Panel]:
    return [
        lines(
            "Looks at providers' own dates",
            "Per hour, by provider and outcome. A provider that is never ok is one whose new dates nobody hears of.",
            Query(
                seen("gateway_calendar_polls_total", "provider, outcome", per_hour=True, routed=False),
                "{{provider}} {{outcome}}",
            ),
            unit="suffix:per hour",
            colours={},
        ),
        lines(
            "Models that were verified",
            "Per hour, by provider and what was found: after a doubt, before a date, or because nobody had called for "
            "long.",
            Query(
                seen("gateway_model_probes_total", "provider, outcome", per_hour=True, routed=False),
                "{{provider}} {{outcome}}",
            ),
            unit="suffix:per hour",
            colours={},
        ),
    ]
