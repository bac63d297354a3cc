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
        if sample.name == "gateway_fallbacks_total" and sample.value
    }
    assert samples == {"gone": 2}


def test_a_targets_series_are_there_at_zero_before_its_first_request(metrics: Metrics) -> None:
    TargetMeters(metrics, a_route(), a_primary())
    labels = {"provider": "here", "model": a_primary().model, "outcome": "failed"}
    assert metrics.registry.get_sample_value("gateway_upstream_attempts_total", labels) == 0


def counted(metrics: Metrics, name: str, label: str) -> dict[str, float]:
    samples = [sample for family in metrics.registry.collect() for sample in family.samples if sample.name == name]
    return {sample.labels[label]: sample.value for sample in samples}


def test_what_objectives_are_about_is_there_at_zero_before_the_first_request(metrics: Metrics) -> None:
    RouteMeters(metrics, a_route())
    codes = counted(metrics, "gateway_requests_total", "code")
    assert codes == dict.fromkeys(("200", "429", "499", "500", "502", "503", "504"), 0.0)
    assert counted(metrics, "gateway_route_answers_total", "intended") == {"false": 0.0, "true": 0.0}


def test_a_fallbacks_reasons_are_there_at_zero(metrics: Metrics) -> None:
    route = a_route()
    TargetMeters(metrics, route, a_primary())
    assert counted(metrics, "gateway_fallbacks_total", "reason") == {}, "a primary is nobody's fallback"
    TargetMeters(metrics, route, a_fallback())
    reasons = counted(metrics, "gateway_fallbacks_total", "reason")
    assert {"gone", "shutdown_reached", "circuit_open", "timeout", "rehearsal"} <= reasons.keys()
    assert not {"primary", "no_primary"} & reasons.keys()
    assert set(reasons.values()) == {0.0}


def test_a_route_of_vectors_expects_requests_at_embeddings(metrics: Metrics) -> None:
    RouteMeters(metrics, a_route(primary=a_primary(model="text-embedding-3-small", base=None)))
    assert set(counted(metrics, "gateway_requests_total", "endpoint")) == {"embeddings"}
