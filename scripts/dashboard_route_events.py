"""What happened on a route beside its answers."""

from grafana import ANY, Panel, Query, lines, stat
from questions import per_s, seen


def odd() -> list[Panel]:
    """Return what a calm route shows nothing of."""
    return [
        lines(
            "Answered by a fallback, by reason",
            "Requests per second.",
            Query(seen("gateway_fallbacks_total", "reason"), "{{reason}}"),
            unit="reqps",
            width=8,
            stacked=True,
            colours={},
        ),
        lines(
            "Errors, by status",
            "Requests per second that ended with a status of 400 or more.",
            Query(seen("gateway_requests_total", "code", 'code=~"4..|5.."'), "{{code}}"),
            unit="reqps",
            width=8,
            stacked=True,
            colours={},
        ),
        lines(
            "Answers that broke the contract",
            "Answers per hour that are not what the route's JSON Schema asks for, by who gave them. Callers got them "
            "all the same.",
            Query(f"3600 * {per_s('gateway_contract_violations_total', 'served_by')}", "{{served_by}}"),
            unit="suffix:per hour",
            width=8,
            steps=ANY,
        ),
    ]


def changes() -> list[Panel]:
    """Return what was changed of requests, answers and streams."""
    return [
        lines(
            "Parameters changed for a target",
            "Requests per second whose parameter was renamed, set or dropped because the target would have refused it.",
            Query(seen("gateway_adaptations_total", "parameter"), "{{parameter}}"),
            unit="reqps",
            width=8,
            colours={},
        ),
        lines(
            "Answers by another model than asked",
            "Per hour. A provider has put another model in the place of the one that was asked for.",
            Query(f"3600 * {per_s('gateway_substitutions_total')}", "substitutions"),
            unit="suffix:per hour",
            width=8,
            steps=ANY,
        ),
        lines(
            "Streams that ended early",
            "Per hour, by the side that ended them: the caller, the provider, or this gateway when it stopped.",
            Query(f"3600 * {per_s('gateway_stream_aborts_total', 'side')}", "{{side}}"),
            unit="suffix:per hour",
            width=8,
            colours={},
        ),
    ]


def differences() -> list[Panel]:
    """Return how the fallback compares in rehearsals."""

    def difference(measure: str, title: str, text: str, unit: str, decimals: int, factor: str = "") -> Panel:
        expr = f'{factor}avg(gateway_rehearsal_difference{{route=~"$route",measure="{measure}"}})'
        whole = f"{text} Mean of the latest 500 rehearsals."
        return stat(title, whole, Query(expr), unit=unit, decimals=decimals, width=5, empty="no rehearsals")

    return [
        stat(
            "Pairs",
            "Rehearsals that the means beside rest on, of the replica that has the most.",
            Query('max(gateway_rehearsal_pairs{route=~"$route"})'),
            unit="suffix:pairs",
            width=4,
            empty="no rehearsals",
        ),
        difference("agreement", "Agreement", "How far both say the same: 100 % is word for word.", "percentunit", 0),
        difference(
            "cost_usd",
            "Dearer by, per 1,000",
            "What 1,000 requests cost more on the fallback.",
            "currencyUSD",
            3,
            "1000 * ",
        ),
        difference("duration_seconds", "Slower by", "How much longer the fallback takes for an answer.", "s", 2),
        difference(
            "first_token_seconds", "First token later by", "Of streams: how much later the fallback begins.", "s", 2
        ),
    ]


def rehearsals() -> list[Panel]:
    """Return how much was rehearsed and kept."""
    return [
        lines(
            "Rehearsals, by outcome",
            "Per hour. Unfunded: the money for the day is spent. Dropped: too many waited.",
            Query(seen("gateway_rehearsals_total", "outcome", per_hour=True), "{{outcome}}"),
            unit="suffix:per hour",
            width=8,
            stacked=True,
            colours={},
        ),
        lines(
            "Cost of rehearsals",
            "US dollars per hour. Not part of the route's own cost.",
            Query(f"3600 * {per_s('gateway_rehearsal_cost_usd_total')} or vector(0)", "rehearsals"),
            unit="currencyUSD",
            width=8,
            decimals=3,
        ),
        lines(
            "Requests captured",
            "Per hour: kept for training and evaluation, or why not.",
            Query(seen("gateway_captured_total", "outcome", per_hour=True), "{{outcome}}"),
            unit="suffix:per hour",
            width=8,
            stacked=True,
            colours={},
        ),
    ]
