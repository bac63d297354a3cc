import json
import re

import pytest

from gateway.cli import metrics_reference
from gateway.cli.metrics_reference import families, unit_of
from gateway.execution.otel_spans import attempt_attributes, request_attributes
from gateway.execution.request_event import RequestEvent
from gateway.execution.request_log import line_of
from tests.store.rows import START, an_entry

PROMISED = [
    "gateway_requests_total",
    "gateway_request_duration_seconds",
    "gateway_time_to_first_token_seconds",
    "gateway_time_per_output_token_seconds",
    "gateway_overhead_seconds",
    "gateway_requests_in_flight",
    "gateway_upstream_attempts_total",
    "gateway_upstream_duration_seconds",
    "gateway_input_tokens_total",
    "gateway_output_tokens_total",
    "gateway_cached_input_tokens_total",
    "gateway_cost_usd_total",
    "gateway_unpriced_requests_total",
    "gateway_fallbacks_total",
    "gateway_route_fallback_active",
    "gateway_route_target_info",
    "gateway_model_sunset_timestamp_seconds",
    "gateway_model_available",
    "gateway_model_probes_total",
    "gateway_circuit_state",
    "gateway_stream_aborts_total",
    "gateway_ledger_entries_total",
    "gateway_ledger_queue",
    "gateway_ledger_oldest_unflushed_seconds",
    "gateway_ledger_journal_bytes",
    "gateway_ledger_dropped_total",
    "gateway_config_reloads_total",
    "gateway_auth_failures_total",
    "gateway_build_info",
    "gateway_route_info",
    "gateway_route_objective",
    "gateway_route_answers_total",
    "gateway_route_living_targets",
    "gateway_route_primary_sunset_timestamp_seconds",
    "gateway_route_fallback_exercised_timestamp_seconds",
    "gateway_config_info",
    "gateway_config_loaded_timestamp_seconds",
    "gateway_config_reload_failed",
    "gateway_ledger_journal_limit_bytes",
    "gateway_event_loop_lag_seconds",
    "gateway_ready",
    "gateway_upstream_rate_limited_total",
    "gateway_route_commanded",
    "gateway_substitutions_total",
    "gateway_calendar_polls_total",
    "gateway_cutovers_total",
]
"""What dashboards and alerts are written against: a name that goes takes them with it."""


def test_the_table_is_what_the_code_exports() -> None:
    document = metrics_reference.PATH.read_text(encoding="utf-8")
    assert document == metrics_reference.with_table(document), "run `make schema`"


@pytest.mark.parametrize("name", PROMISED)
def test_a_metric_that_others_rely_on_is_there(name: str) -> None:
    assert name in {family.name for family in families()}


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_a_metric_says_what_it_is(family: metrics_reference.Described) -> None:
    assert re.fullmatch(r"gateway_[a-z_]+", family.name)
    assert family.text.endswith("."), "a sentence"
    assert (family.kind == "counter") == family.name.endswith("_total")
    assert not {"key", "user", "ip", "prompt", "id", "session"} & set(family.labels), "labels are the configuration's"
    assert unit_of(family) != "1 or 0" or family.kind in ("gauge", "info")


def test_the_mapping_to_opentelemetrys_names_is_all_of_it() -> None:
    event = RequestEvent("req_1", "chat_completions", "r", False, 200, None, None, START, 0.1, (an_entry(),))
    names = {*request_attributes(event, "chat"), *attempt_attributes(an_entry(), "chat", None)} - {
        "http.request.method"
    }
    traces = metrics_reference.PATH.read_text(encoding="utf-8").partition("## Traces")[2]
    told = set(re.findall(r"`([\w.]+)`", traces))
    # A row names its first in full, and of those behind it only what differs.
    untold = [
        name for name in names if name not in told and not any(name.endswith(each) for each in told if each[0] == ".")
    ]
    assert untold == []


def test_the_logs_fields_are_those_of_the_example() -> None:
    event = RequestEvent("req_1", "chat_completions", "r", False, 200, None, None, START, 0.1, (an_entry(),))
    document = metrics_reference.PATH.read_text(encoding="utf-8")
    example = json.loads(re.search(r"```json\n(.*?)```", document, re.DOTALL)[1])  # type: ignore[index]
    assert list(example) == list(json.loads(line_of(event)))
