"""What a route owes its callers, and how it stands: by what this replica has counted since it started. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.api.deps import Services
from gateway.config.routes import Route


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective."""

    name: str
    aim: str
    value: float | None
    """A share, or milliseconds; None: nothing was counted yet."""
    is_time: bool
    is_kept: bool | None
    of: int
    """What it rests on: requests, answers, or streams' percentiles (0)."""


def objectives_of(services: Services, route: Route, first_token_p95_ms: float | None) -> tuple[Objective, ...]:
    """Return a route's objectives; the time to first token is that of the period shown beside."""
    return tuple(_objectives(services, route, first_token_p95_ms))


def _objectives(services: Services, route: Route, first_token_p95_ms: float | None) -> Iterator[Objective]:
    slo, (failed, requests) = route.slo, _requests(services, route.name)
    available = 1 - failed / requests if requests else None
    yield Objective(
        "availability",
        f"{slo.availability * 100:.4g}% of requests are not answered with a 5xx",
        available,
        is_time=False,
        is_kept=None if available is None else available >= slo.availability,
        of=requests,
    )
    meters = services.pipeline.snapshot.prepared[route.name].meters.answered
    unintended, intended = (round(counter.value) for counter in meters)
    answers = unintended + intended
    share = intended / answers if answers else None
    yield Objective(
        "intended",
        f"{slo.intended * 100:.4g}% of answers are by the target that is meant to answer",
        share,
        is_time=False,
        is_kept=None if share is None else share >= slo.intended,
        of=answers,
    )
    if slo.first_token_s is not None:
        yield Objective(
            "first token",
            f"95% of streams begin within {slo.first_token_s:g} s",
            first_token_p95_ms,
            is_time=True,
            is_kept=None if first_token_p95_ms is None else first_token_p95_ms <= slo.first_token_s * 1000,
            of=0,
        )


def _requests(services: Services, route: str) -> tuple[int, int]:
    """Return how many requests were answered with a 5xx, and how many there were."""
    failed = total = 0.0
    for family in services.metrics.requests.collect():
        for sample in family.samples:
            if sample.name.endswith("_total") and sample.labels.get("route") == route:
                total += sample.value
                failed += sample.value if sample.labels["code"].startswith("5") else 0.0
    return round(failed), round(total)
