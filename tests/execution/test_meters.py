import pytest
from prometheus_client import generate_latest

from gateway.config.routes import Parameters
from gateway.execution.meters import RouteMeters, TargetMeters
from gateway.metrics import Metrics
from gateway.reasons import Reason
from tests.example_routes import a_fallback, a_primary, a_route


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_a_request_is_counted_by_route_status_and_team(metrics: Metrics) -> None:
    meters = RouteMeters(metrics, a_route(owner="support"))
    for status in (200, 200, 404):
        meters.request("chat_completions", status)
    labels = {"route": "forum-reply", "endpoint": "chat_completions", "team": "support"}
    value = metrics.registry.get_sample_value
    assert value("gateway_requests_total", {**labels, "code": "200"}) == 2
    assert value("gateway_requests_total", {**labels, "code": "404"}) == 1


def test_a_route_without_an_owner_has_an_empty_team(metrics: Metrics) -> None:
    RouteMeters(metrics, a_route()).request("chat_completions", 200)
    assert 'team=""' in generate_latest(metrics.registry).decode()


def test_a_parameter_that_the_configuration_changes_is_counted_by_name_any_other_is_not(metrics: Metrics) -> None:
    parameters = Parameters(rename={"max_tokens": "max_completion_tokens"}, set={"n": 1}, drop=("logit_bias",))
    meters = TargetMeters(metrics, a_route(), a_fallback(parameters=parameters))
    for parameter in ("max_tokens", "n", "logit_bias", "response_format", "whatever", "else"):
        meters.adapted(parameter)
    value = metrics.registry.get_sample_value
    counted = {
        name: value("gateway_adaptations_total", {"route": "forum-reply", "parameter": name})
        for name in ("max_tokens", "n", "logit_bias", "response_format", "_other", "whatever")
    }
    assert counted == {
        "max_tokens": 1, "n": 1, "logit_bias": 1, "response_format": 1, "_other": 2, "whatever": None,
    }  # fmt: skip


def test_only_a_fallback_counts_as_one(metrics: Metrics) -> None:
    route = a_route()
    TargetMeters(metrics, route, a_primary()).answered_because(Reason.PRIMARY)
    meters = TargetMeters(metrics, route, a_fallback())
    for _ in range(2):
        meters.answered_because(Reason.GONE)
    samples = {
        sample.labels["reason"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "gateway_fallbacks_total"
    }
    assert samples == {"gone": 2}


def test_a_targets_series_are_there_at_zero_before_its_first_request(metrics: Metrics) -> None:
    TargetMeters(metrics, a_route(), a_primary())
    labels = {"provider": "here", "model": a_primary().model, "outcome": "failed"}
    assert metrics.registry.get_sample_value("gateway_upstream_attempts_total", labels) == 0
