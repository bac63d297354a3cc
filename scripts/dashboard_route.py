"""One route: why this target, and would the other one do."""

from dashboard_route_events import changes, differences, odd, rehearsals
from grafana import (
    AMBER,
    ANY,
    QUIET,
    RED,
    Column,
    Json,
    Panel,
    Query,
    Section,
    Words,
    dashboard,
    lines,
    stat,
    states,
    table,
)
from questions import (
    FALLBACK_TOOK_OVER,
    INTENDED,
    ONE_ROUTE,
    STATE_WORDS,
    UNINTENDED,
    per_s,
    quantile,
    ratio,
    rise,
    route_state,
)

ACTIVE = 'gateway_route_fallback_active{route=~"$route"}'
NO_REASON = f'label_replace(max({ACTIVE}) == 0, "reason", "primary", "", "")'
ANSWERED = "gateway_request_duration_seconds_count"
DAYS = ((RED, None), (AMBER, 7), (QUIET, 30))
LEFT = ((RED, None), (AMBER, 0), (QUIET, 0.25))
"""Of an error budget: spent, nearly spent, there."""
REASON_WORDS: Words = {0: ("primary", "blue"), 1: ("fallback, as planned", "purple"), 2: ("fallback, unplanned", AMBER)}


def route_detail() -> Json:
    """Return the dashboard of one route."""
    sections = [
        Section("Who answers, and is it good enough", [(4, _now()), (4, _figures()), (6, [_reasons()])]),
        Section("Against its objectives", [(8, _objectives())]),
        Section("Target against target", [(6, [_targets()]), (8, _latency()), (8, _tokens())]),
        Section("What was out of the ordinary", [(8, odd()), (7, changes())]),
        Section("Rehearsals and what is kept", [(4, differences()), (7, rehearsals())], folded=True),
    ]
    return dashboard(
        "understudy-route",
        "Understudy / Route",
        "Why does this target answer this route, and would the other one do?",
        sections,
        [ONE_ROUTE],
        annotations=[FALLBACK_TOOK_OVER],
    )


def _errors() -> str:
    return ratio(rise("gateway_requests_total", "", 'code=~"5.."'), rise("gateway_requests_total"))


def _objective(name: str) -> str:
    return f'max(gateway_route_objective{{route=~"$route",objective="{name}"}})'


def _unintended() -> str:
    return ratio(rise("gateway_route_answers_total", "", 'intended="false"'), rise("gateway_route_answers_total"))


def _now() -> list[Panel]:
    return [
        stat(
            "Who answers",
            "Whether the primary answers now, or a fallback, and if that was planned.",
            Query(route_state()),
            unit="none",
            words=STATE_WORDS,
            width=6,
            empty="unknown",
        ),
        stat(
            "Because",
            "Why the route's first target is the one it is; the words are those of the header x-gateway-reason.",
            Query(
                f"topk(1, max by (reason) ({ACTIVE}) == 1) or {NO_REASON}",
                "{{reason}}",
            ),
            unit="none",
            steps=ANY,
            width=6,
            shown="name",
            empty="unknown",
        ),
        stat(
            "Error budget left",
            "Of the failures that the objective for availability allows in the time shown, how many are left: 100 % "
            "is all, below 0 more failed than it allows.",
            Query(f"1 - ({_errors()}) / (1 - {_objective('availability')})"),
            unit="percentunit",
            steps=LEFT,
            decimals=0,
            width=4,
        ),
        stat(
            "Budget of unplanned answers left",
            "Of the answers by another target than intended that the objective allows in the time shown, how many are "
            "left.",
            Query(f"1 - ({_unintended()}) / (1 - {_objective('intended')})"),
            unit="percentunit",
            steps=LEFT,
            decimals=0,
            width=4,
        ),
        stat(
            "Primary stops in",
            "Days until the primary stops, as the calendar knows it; below 0 it has.",
            Query(
                '(min(gateway_route_primary_sunset_timestamp_seconds{route=~"$route"}) - time()) / 86400',
            ),
            unit="suffix:days",
            steps=DAYS,
            decimals=0,
            width=4,
            empty="no date known",
        ),
    ]


def _figures() -> list[Panel]:
    answered = rise(ANSWERED)
    return [
        stat(
            "Answered by fallbacks",
            "Share of answers that a fallback gave, over the time shown.",
            Query(ratio(rise(ANSWERED, "", 'served_by="fallback"'), answered)),
            unit="percentunit",
            decimals=1,
            width=4,
        ),
        stat(
            "Requests",
            "Requests per second over the time shown, refused ones included.",
            Query('sum(rate(gateway_requests_total{route=~"$route"}[$__range]))'),
            unit="reqps",
            decimals=2,
            width=4,
        ),
        stat(
            "Time of an answer, p95",
            "19 of 20 answers took no longer, over the time shown.",
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
            "Cost of 1,000 requests",
            "What callers' requests cost over the time shown, by 1,000 answers. Attempts without a price are not in "
            "it.",
            Query(f"1000 * {ratio(rise('gateway_cost_usd_total'), answered)}"),
            unit="currencyUSD",
            decimals=3,
            width=4,
        ),
        stat(
            "Fallback last tried",
            "How long ago any fallback of this route answered anything: a request, a rehearsal or an evaluation.",
            Query(
                """time() - (max(gateway_route_fallback_exercised_timestamp_seconds{route=~"$route"}) > 0)
                or -1 * (max(gateway_route_fallback_exercised_timestamp_seconds{route=~"$route"}) == bool 0)"""
            ),
            unit="s",
            words={-1: ("never", AMBER)},
            width=4,
            empty="no fallback",
        ),
    ]


def _reasons() -> Panel:
    planned, unplanned = (
        f'max by (reason) (gateway_route_fallback_active{{route=~"$route",reason=~"{reasons}"}})'
        for reasons in (INTENDED, UNINTENDED)
    )
    return states(
        "Reasons, over time",
        "A band for each reason for which a fallback was first, while it was; primary: while no reason held.",
        Query(f"({planned} > 0) or (2 * {unplanned} > 0) or {NO_REASON}", "{{reason}}"),
        words=REASON_WORDS,
    )


def _objectives() -> list[Panel]:
    wrong = per_s("gateway_requests_total", "", 'code=~"5.."')
    as_meant = per_s("gateway_route_answers_total", "", 'intended="true"')
    return [
        lines(
            "Availability",
            "Share of requests that did not end with a 5xx, against the objective of slo: in routes.yaml.",
            Query(f"1 - {ratio(wrong, per_s('gateway_requests_total'))}", "availability"),
            Query(_objective("availability"), "objective"),
            unit="percentunit",
            width=8,
            least=None,
            most=1,
            dashed="objective",
        ),
        lines(
            "Answered as intended",
            "Share of answers by the primary, or by the fallback that a date, a ramp, a person or a rehearsal chose. "
            "Pinned requests are left out.",
            Query(ratio(as_meant, per_s("gateway_route_answers_total")), "as intended"),
            Query(_objective("intended"), "objective"),
            unit="percentunit",
            width=8,
            least=None,
            most=1,
            dashed="objective",
        ),
        lines(
            "First token against its objective, p95",
            "19 of 20 streams began within this. The objective is there where slo: names one.",
            Query(quantile(0.95, "gateway_time_to_first_token_seconds", ""), "p95"),
            Query(_objective("first_token_seconds"), "objective"),
            unit="s",
            width=8,
            dashed="objective",
        ),
    ]


def _targets() -> Panel:
    here = 'gateway_route_target_info{route=~"$route"}'
    target = "provider, model, served_by"
    known = f'max by ({target}) (label_replace({here}, "served_by", "$1", "role", "(.*)"))'
    days = "(min by (provider, model) (gateway_model_sunset_timestamp_seconds) - time()) / 86400"
    return table(
        "Targets",
        "A row a target. Tokens and cost are this route's, over the time shown; whether the model is called, and "
        "until when, is of now.",
        {
            "there": f"{known} * on (provider, model) group_left () min by (provider, model) (gateway_model_available)",
            "open": f"""{known} * on (provider, model) group_left ()
            max by (provider, model) (gateway_circuit_state{{state="open"}})""",
            "days": f"{known} * on (provider, model) group_left () ({days})",
            "input": rise("gateway_input_tokens_total", target),
            "cached": ratio(
                rise("gateway_cached_input_tokens_total", target), rise("gateway_input_tokens_total", target)
            ),
            "output": rise("gateway_output_tokens_total", target),
            "cost": rise("gateway_cost_usd_total", target),
        },
        [
            Column("served_by", "Part", width=100),
            Column("provider", "Provider"),
            Column("model", "Model", width=420),
            Column("there", "Called", words={1: ("yes", QUIET), 0: ("no", AMBER)}),
            Column("open", "Circuit", words={0: ("closed", QUIET), 1: ("open", AMBER)}),
            Column("days", "Stops in", "suffix:days", DAYS, decimals=0),
            Column("input", "Input tokens", "short", decimals=0),
            Column("cached", "Read from cache", "percentunit", decimals=0, bar=True),
            Column("output", "Output tokens", "short", decimals=0),
            Column("cost", "Cost", "currencyUSD", decimals=4),
        ],
        sort=("Part", True),
    )


def _latency() -> list[Panel]:
    def curves(metric: str, shares: tuple[float, ...]) -> list[Query]:
        return [Query(quantile(q, metric, "served_by"), f"{{{{served_by}}}} p{round(q * 100)}") for q in shares]

    return [
        lines(
            "Time of an answer",
            "From the request's first byte to the answer's last, by who answered: half, 19 of 20, and 99 of 100 took "
            "no longer.",
            *curves("gateway_request_duration_seconds", (0.5, 0.95, 0.99)),
            unit="s",
            width=8,
            colours={},
        ),
        lines(
            "First token",
            "Until the first event of a streamed answer, by who answered.",
            *curves("gateway_time_to_first_token_seconds", (0.5, 0.95)),
            unit="s",
            width=8,
            colours={},
        ),
        lines(
            "Each further token",
            "Time per output token after the first, of streamed answers, by who answered.",
            *curves("gateway_time_per_output_token_seconds", (0.5, 0.95)),
            unit="s",
            width=8,
            colours={},
        ),
    ]


def _tokens() -> list[Panel]:
    by = "served_by"
    cached = ratio(per_s("gateway_cached_input_tokens_total", by), per_s("gateway_input_tokens_total", by))
    cost = ratio(per_s("gateway_cost_usd_total", by), per_s(ANSWERED, by))
    return [
        lines(
            "Tokens of an answer",
            "Input and output tokens by answer, cached ones and reasoning included. A fallback's input has its prompt "
            "in it.",
            Query(ratio(per_s("gateway_input_tokens_total", by), per_s(ANSWERED, by)), "{{served_by}} input"),
            Query(ratio(per_s("gateway_output_tokens_total", by), per_s(ANSWERED, by)), "{{served_by}} output"),
            unit="suffix:tokens",
            width=8,
            decimals=0,
            colours={},
        ),
        lines(
            "Cost of 1,000 requests, by who answered",
            "US dollars; failed attempts are in it where the provider bills them.",
            Query(f"1000 * {cost}", "{{served_by}}"),
            unit="currencyUSD",
            width=8,
            decimals=3,
        ),
        lines(
            "Input read from the provider's cache",
            "Share of input tokens. Providers cache from 1,024 equal tokens on.",
            Query(cached, "{{served_by}}"),
            unit="percentunit",
            width=8,
            most=1,
        ),
    ]
