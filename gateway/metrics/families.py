"""What counts: series that cost next to nothing to count, and are written out when Prometheus asks."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from math import inf
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Counter:
    """One series that only rises.

    The library's own children take a lock for every count and cost ten times as much; here all counting happens in the
    event loop's thread, which is also the one that answers scrapes.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Count."""
        self.value += amount


class Histogram:
    """One distribution: how many observations fell into each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        """The upper bounds of the buckets; one more is above all of them."""
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Described(NamedTuple):
    """A family, as the reference lists it."""

    name: str
    kind: str
    """counter, histogram, gauge or info."""
    labels: tuple[str, ...]
    text: str


class Counters(Collector):
    """A family of counters, by label values."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._children: dict[tuple[str, ...], Counter] = {} if labels else {(): Counter()}
        self._series: dict[tuple[str, ...], str] = {}

    @property
    def described(self) -> Described:
        """What it counts."""
        return Described(self._name, "counter", self._labels, self._text)

    def labels(self, *values: str) -> Counter:
        """Return the child of these label values."""
        return self._children.setdefault(values, Counter())

    def inc(self, amount: float = 1.0) -> None:
        """Count in a family without labels."""
        self._children[()].inc(amount)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the family as Prometheus reads it."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, child in self._children.items():
            family.add_metric(values, child.value)
        yield family

    def lines(self) -> Iterator[str]:
        """Yield the family as text. What a series is called is written once, since it is most of the work."""
        yield head_of(self._name, "counter", self._text)
        series = self._series
        for values, child in self._children.items():
            known = series.get(values)
            if known is None:
                known = series[values] = series_of(self._name, self._labels, values)
            yield f"{known} {child.value!r}\n"


class Gauge(NamedTuple):
    """What a gauge, or a count that is kept elsewhere, is called; its values are read when Prometheus asks."""

    name: str
    text: str
    labels: tuple[str, ...] = ()

    @property
    def described(self) -> Described:
        """What it says; a count by its name is one."""
        kind = "counter" if self.name.endswith("_total") else "gauge"
        return Described(self.name, kind, self.labels, self.text)

    def family(self) -> GaugeMetricFamily:
        """Return an empty family."""
        return GaugeMetricFamily(self.name, self.text, labels=self.labels)

    def of(self, value: float) -> GaugeMetricFamily:
        """Return the family without labels, at this value."""
        return GaugeMetricFamily(self.name, self.text, value=value)

    def counted(self, value: float) -> CounterMetricFamily:
        """Return the counter without labels, at this value."""
        return CounterMetricFamily(self.name, self.text, value=value)


class Histograms(Collector):
    """A family of histograms, by label values."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, labels, bounds
        self._upper = [floatToGoString(bound) for bound in (*bounds, inf)]  # type: ignore[no-untyped-call]
        self._children: dict[tuple[str, ...], Histogram] = {}
        self._series: dict[tuple[str, ...], list[str]] = {}

    @property
    def described(self) -> Described:
        """What it observes."""
        return Described(self._name, "histogram", self._labels, self._text)

    def labels(self, *values: str) -> Histogram:
        """Return the child of these label values."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = Histogram(self._bounds)
        return child

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the family as Prometheus reads it: buckets add up."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, child in self._children.items():
            buckets = list(zip(self._upper, accumulate(child.counts), strict=True))
            family.add_metric(values, buckets=buckets, sum_value=child.sum)
        yield family

    def lines(self) -> Iterator[str]:
        """Yield the family as text."""
        yield head_of(self._name, "histogram", self._text)
        for values, child in self._children.items():
            series = self._series.get(values)
            if series is None:
                series = self._series[values] = self._called(values)
            total = 0
            for name, count in zip(series, child.counts, strict=False):
                total += count
                yield f"{name} {total}.0\n"
            yield f"{series[-2]} {total}.0\n"
            yield f"{series[-1]} {child.sum!r}\n"

    def _called(self, values: tuple[str, ...]) -> list[str]:
        """Return what its buckets are called, then its count and its sum."""
        labels = (*self._labels, "le")
        buckets = [series_of(f"{self._name}_bucket", labels, (*values, bound)) for bound in self._upper]
        return [*buckets, *(series_of(f"{self._name}_{what}", self._labels, values) for what in ("count", "sum"))]


def head_of(name: str, kind: str, text: str) -> str:
    """Return what stands above a family."""
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"


def series_of(name: str, labels: Sequence[str], values: Sequence[str]) -> str:
    """Return what a series is called, label values escaped."""
    inside = ",".join(f'{label}="{escaped(value)}"' for label, value in zip(labels, values, strict=True))
    return f"{name}{{{inside}}}" if inside else name


@lru_cache(maxsize=20_000)
def escaped(value: str) -> str:
    """Return a label's value as it stands between quotes."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
