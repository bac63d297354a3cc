import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import OVERHEAD_S, Histogram, Metrics

LABELS = {
    "gateway_requests_total": ("route", "endpoint", "code", "team"),
    "gateway_request_duration_seconds": ("route", "endpoint", "served_by", "stream"),
    "gateway_time_to_first_token_seconds": ("route", "served_by"),
    "gateway_time_per_output_token_seconds": ("route", "served_by"),
    "gateway_overhead_seconds": ("endpoint",),
    "gateway_upstream_attempts_total": ("provider", "model", "outcome"),
    "gateway_upstream_duration_seconds": ("provider", "model"),
    "gateway_input_tokens_total": ("route", "provider", "model", "served_by"),
    "gateway_cached_input_tokens_total": ("route", "provider", "model", "served_by"),
    "gateway_output_tokens_total": ("route", "provider", "model", "served_by"),
    "gateway_cost_usd_total": ("route", "provider", "model", "served_by", "team"),
    "gateway_unpriced_requests_total": ("model",),
    "gateway_fallbacks_total": ("route", "reason"),
    "gateway_cutovers_total": ("route", "reason"),
    "gateway_substitutions_total": ("route",),
    "gateway_adaptations_total": ("route", "parameter"),
    "gateway_contract_violations_total": ("route", "served_by"),
    "gateway_stream_aborts_total": ("route", "side"),
    "gateway_model_probes_total": ("provider", "outcome"),
    "gateway_config_reloads_total": ("outcome",),
    "gateway_auth_failures_total": (),
    "gateway_unrecordable_requests_total": (),
}
"""The contract: dashboards and alerts name these, so they are written out here."""

BUCKETS = {
    "gateway_request_duration_seconds": ".05 .1 .25 .5 1 2.5 5 10 20 40 80 160 320 600",
    "gateway_upstream_duration_seconds": ".05 .1 .25 .5 1 2.5 5 10 20 40 80 160 320 600",
    "gateway_time_to_first_token_seconds": ".05 .1 .25 .5 .75 1 1.5 2.5 5 10 20 40 60",
    "gateway_overhead_seconds": ".0005 .001 .0025 .005 .01 .025 .05 .1 .25 1",
}


@pytest.fixture
def metrics() -> Metrics:
    """Return the metrics with one child of each family, whose label values are the labels' names."""
    metrics = Metrics()
    for family in vars(metrics).values():
        if labels := getattr(family, "_labels", None):
            child = family.labels(*labels)
            child.observe(1.0) if isinstance(child, Histogram) else child.inc()
    return metrics


def page_of(metrics: Metrics) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {family.name: [(s.name, s.labels, s.value) for s in family.samples] for family in families}


@pytest.mark.parametrize(("name", "labels"), LABELS.items(), ids=LABELS.keys())
def test_a_metric_is_there_by_its_name_and_labels(name: str, labels: tuple[str, ...], metrics: Metrics) -> None:
    samples = page_of(metrics)[name.removesuffix("_total")]
    counted = name if name.endswith("_total") else f"{name}_count"
    assert [labels_of for sample, labels_of, _ in samples if sample == counted] == [
        dict(zip(labels, labels, strict=True))
    ]


@pytest.mark.parametrize(("name", "bounds"), BUCKETS.items(), ids=BUCKETS.keys())
def test_a_histograms_buckets(name: str, bounds: str, metrics: Metrics) -> None:
    found = [float(labels["le"]) for sample, labels, _ in page_of(metrics)[name] if sample.endswith("_bucket")]
    assert found == [*map(float, bounds.split()), math.inf]


def test_the_page_has_no_series_beside_those_that_count(metrics: Metrics) -> None:
    names = {sample for samples in page_of(metrics).values() for sample, _, _ in samples}
    assert not [name for name in names if name.endswith(("_created", "_total_total"))]
    assert all(name.startswith("gateway_") for name in names)


def test_counting_adds_up() -> None:
    metrics = Metrics()
    metrics.auth_failures.inc()
    metrics.auth_failures.inc(2)
    metrics.fallbacks.labels("r", "gone").inc()
    metrics.fallbacks.labels("r", "gone").inc()
    assert metrics.registry.get_sample_value("gateway_auth_failures_total") == 3
    assert metrics.registry.get_sample_value("gateway_fallbacks_total", {"route": "r", "reason": "gone"}) == 2


def test_the_running_version_is_told(metrics: Metrics) -> None:
    metrics.build.info({"version": "1.2.3"})
    assert metrics.registry.get_sample_value("gateway_build_info", {"version": "1.2.3"}) == 1


@given(st.lists(st.one_of(st.floats(0, 10), st.sampled_from(OVERHEAD_S)), max_size=50))
def test_a_histogram_counts_each_observation_up_to_and_with_its_bound(values: list[float]) -> None:
    metrics = Metrics()
    child = metrics.overhead.labels("e")
    for value in values:
        child.observe(value)
    found = {}
    for name, labels, value in page_of(metrics)["gateway_overhead_seconds"]:
        found[labels.get("le", name.removeprefix("gateway_overhead_seconds"))] = value
    assert found.pop("_count") == len(values)
    assert found.pop("_sum") == pytest.approx(math.fsum(values))
    assert found == {bound: sum(value <= float(bound) for value in values) for bound in found}
    assert len(found) == len(OVERHEAD_S) + 1
