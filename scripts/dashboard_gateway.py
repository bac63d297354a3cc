"""The gateway itself: its replicas, its ledger, and what it calls."""

from grafana import QUIET, RED, Panel, Query, lines
from questions import seen


def replicas() -> list[Panel]:
    """Return how busy and how well its processes are."""
    return [
        lines(
            "Requests in flight",
            "Requests that are being answered, by endpoint, all replicas together.",
            Query("sum by (endpoint) (gateway_requests_in_flight)", "{{endpoint}}"),
            unit="suffix:requests",
            width=8,
            stacked=True,
        ),
        lines(
            "Lag of the event loop",
            "The longest that one replica kept everything else waiting. Above 0.1 s callers notice.",
            Query("max(gateway_event_loop_lag_seconds)", "worst replica"),
            unit="s",
            width=8,
            steps=((QUIET, None), (RED, 0.1)),
        ),
        lines(
            "Reloads, credentials and messages",
            "Per hour: reloads of routes.yaml by outcome, requests without the right credential, tries to deliver a "
            "message.",
            Query(
                "3600 * sum by (outcome) (rate(gateway_config_reloads_total[$__rate_interval]))", "reload {{outcome}}"
            ),
            Query("3600 * sum(rate(gateway_auth_failures_total[$__rate_interval]))", "wrong credential"),
            Query(seen("gateway_webhooks_total", "outcome", per_hour=True, routed=False), "message {{outcome}}"),
            unit="suffix:per hour",
            width=8,
        ),
    ]


def callers() -> list[Panel]:
    """Return whom it refused before anybody was asked."""
    return [
        lines(
            "Requests refused for their key's sake",
            "Per hour: a budget that does not suffice or cannot be looked at, a limit per minute, by reason.",
            Query(seen("gateway_budget_refusals_total", "reason", per_hour=True, routed=False), "budget {{reason}}"),
            Query(seen("gateway_rate_limited_total", "limit", per_hour=True, routed=False), "{{limit}} a minute"),
            unit="suffix:per hour",
            width=12,
        ),
        lines(
            "Connections ended for what came on them",
            "Per hour, by reason: too slow, too large, not HTTP as the gateway takes it.",
            Query(seen("gateway_protocol_refusals_total", "reason", per_hour=True, routed=False), "{{reason}}"),
            unit="suffix:per hour",
            width=12,
        ),
    ]


def ledger() -> list[Panel]:
    """Return what waits for the ledger, and what went wrong on the way."""
    lost = (("dropped", "lost"), ("refused", "refused by the database"), ("damaged", "stretches not read back"))
    return [
        lines(
            "Rows on their way to the ledger",
            "Rows in the journal that the database does not have yet, all replicas together.",
            Query("sum(gateway_ledger_queue)", "waiting"),
            unit="suffix:rows",
            width=8,
        ),
        lines(
            "Journal",
            "Bytes of the largest journal, and how many it may have. A full one stops new requests.",
            Query("max(gateway_ledger_journal_bytes)", "largest"),
            Query("min(gateway_ledger_journal_limit_bytes)", "limit"),
            unit="bytes",
            width=8,
            dashed="limit",
        ),
        lines(
            "Rows in trouble",
            "Rows per hour that were lost or refused, damaged stretches of journals, and syncs that failed. All "
            "should be 0.",
            *(Query(f"3600 * sum(rate(gateway_ledger_{name}_total[$__rate_interval]))", word) for name, word in lost),
            Query("3600 * sum(rate(gateway_ledger_sync_failures_total[$__rate_interval]))", "syncs failed"),
            Query("3600 * sum(rate(gateway_unrecordable_requests_total[$__rate_interval]))", "requests turned away"),
            unit="suffix:per hour",
            width=8,
        ),
    ]


def upstreams() -> list[Panel]:
    """Return what became of calls to providers."""
    return [
        lines(
            "Calls to upstreams, by outcome",
            "Attempts per second, of all routes. A failed one led to another target, or to an error.",
            Query("sum by (outcome) (rate(gateway_upstream_attempts_total[$__rate_interval]))", "{{outcome}}"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        lines(
            "Models not called",
            "Models that are suspect or gone, and models whose circuit is open, on the replica that sees the most.",
            Query("count(min by (provider, model) (gateway_model_available) == 0) or vector(0)", "not there"),
            Query(
                'count(max by (provider, model) (gateway_circuit_state{state="open"}) == 1) or vector(0)',
                "circuit open",
            ),
            unit="suffix:models",
            width=8,
        ),
        lines(
            "Verifications and looks at dates",
            "Per hour: probes of models, and polls of providers' own dates, by outcome.",
            Query(seen("gateway_model_probes_total", "outcome", per_hour=True, routed=False), "probe {{outcome}}"),
            Query(seen("gateway_calendar_polls_total", "outcome", per_hour=True, routed=False), "poll {{outcome}}"),
            Query(
                "3600 * sum(rate(gateway_upstream_rate_limited_total[$__rate_interval])) or vector(0)", "429 received"
            ),
            unit="suffix:per hour",
            width=8,
        ),
    ]
