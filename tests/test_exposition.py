from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from gateway.metrics import Metrics
from gateway.metrics.exposition import page

ODD = 'a "quoted" back\\slash\nand a new line, é'


class Others(Collector):
    def collect(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily("gateway_odd", 'says "\\" and\nmore', labels=["name"])
        gauge.add_metric([ODD], 1.7998848e09)
        gauge.add_metric(["b"], float("inf"))
        yield gauge
        yield CounterMetricFamily("gateway_others", "others", value=12345678)
        yield GaugeMetricFamily("gateway_alone", "alone", value=0.25)


def read(text: bytes) -> dict[str, tuple[str, str, list[tuple[str, dict[str, str], float]]]]:
    return {
        family.name: (family.type, family.documentation, [(s.name, s.labels, s.value) for s in family.samples])
        for family in text_string_to_metric_families(text.decode())
    }


def test_the_page_says_what_the_librarys_own_writer_says() -> None:
    metrics = Metrics()
    metrics.build.info({"version": "1.2.3"})
    metrics.registry.register(Others())
    for family in vars(metrics).values():
        if labels := getattr(family, "_labels", None):
            first, second = family.labels(*labels), family.labels(*[ODD] * len(labels))
            for child in (first, second):
                child.observe(0.07) if hasattr(child, "observe") else child.inc(1e-9)
    metrics.overhead.labels("e").observe(3)
    metrics.auth_failures.inc(1e20)
    theirs = read(generate_latest(metrics.registry))
    assert read(page(metrics.registry)) == theirs
    # What a series is called is kept: the second page must follow the counts all the same, and take up new series.
    metrics.overhead.labels("e").observe(0.0001)
    metrics.requests.labels("new", "e", "200", "").inc()
    assert read(page(metrics.registry)) == read(generate_latest(metrics.registry)) != theirs


def test_an_empty_registry_is_an_empty_page() -> None:
    registry = CollectorRegistry()
    assert page(registry) == b""
    Info("gateway_build", "The running version.", registry=registry)
    assert page(registry).endswith(b"# TYPE gateway_build_info gauge\ngateway_build_info 1.0\n")
