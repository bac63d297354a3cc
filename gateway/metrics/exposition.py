"""The page that Prometheus reads, written in a fifth of the time that the library's own writer takes.

A scrape holds the event loop: at four hundred routes the library's writer held every caller for half a second.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.utils import floatToGoString

from gateway.metrics.families import Counters, Histograms, escaped, head_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def page(registry: CollectorRegistry) -> bytes:
    """Return every metric in Prometheus' text format."""
    parts: list[str] = []
    # The registry has no other way to its collectors that does not make a sample of everything they hold.
    for collector in list(registry._collector_to_names):
        if isinstance(collector, Counters | Histograms):
            parts.extend(collector.lines())
        else:
            for metric in collector.collect():
                parts.extend(_lines(metric))
    return "".join(parts).encode()


def _lines(metric: Metric) -> Iterator[str]:
    kind = "gauge" if metric.type == "info" else metric.type
    ending = {"counter": "_total", "info": "_info"}.get(metric.type, "")
    yield head_of(metric.name + ending, kind, metric.documentation)
    for sample in metric.samples:
        value = floatToGoString(sample.value)  # type: ignore[no-untyped-call]
        if sample.labels:
            inside = ",".join([f'{label}="{escaped(text)}"' for label, text in sample.labels.items()])
            yield f"{sample.name}{{{inside}}} {value}\n"
        else:
            yield f"{sample.name} {value}\n"
