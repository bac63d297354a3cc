"""What there is to see of the demo at one moment: read from the gateway over HTTP, and from what its callers saw."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any, Final

from gateway.cli.demo_story import Story
from gateway.cli.demo_traffic import LATELY_S, Asked

NANO: Final = 1_000_000_000
COST: Final = "gateway_cost_usd_total{"
PROBES: Final = "gateway_model_probes_total{"
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class RouteNow:
    """One route, as it stands."""

    name: str
    primary: str | None
    """The model that it was made for; None: it was never trained."""
    model: str | None
    """Who answers now; None: nobody."""
    served_by: str | None
    reason: str | None
    share: float | None
    """Of the latest answers, how many a fallback gave, 0.0 to 1.0; None: there was none lately."""
    answered: int = 0
    failed: int = 0
    primary_usd: float | None = None
    """What 1,000 requests cost on the primary; None: none was answered by it."""
    fallback_usd: float | None = None
    median_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that happened."""

    at: datetime
    who: str
    """``vendor``, ``gateway`` or ``callers``."""
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that is shown."""

    now: datetime
    story: Story
    url: str
    speed: float
    routes: tuple[RouteNow, ...]
    told: tuple[Told, ...] = ()
    sent: int = 0
    failed: int = 0

    @property
    def answered(self) -> int:
        """How many requests got their answer."""
        return sum(route.answered for route in self.routes)


def route_now(
    listed: Mapping[str, Any], primary: str | None, asked: Asked, costs: Mapping[str, float], at: float
) -> RouteNow:
    """Lay together what the gateway says of a route, and what its callers saw.

    Args:
        listed: The route in ``GET /v1/models``.
        primary: The model of its primary.
        asked: What its callers saw.
        costs: US dollars so far, by who served.
        at: Now, in monotonic seconds.
    """
    lately = [answer for answer in asked.lately if at - answer.at < LATELY_S]
    moved = [answer.served_by == "fallback" for answer in lately]
    usd = {
        role: 1000 * costs[role] / asked.answered[role]
        for role in ("primary", "fallback")
        if role in costs and asked.answered[role]
    }
    return RouteNow(
        name=listed["id"],
        primary=primary,
        model=listed["served_model"],
        served_by=listed["served_by"],
        reason=listed["reason"],
        share=sum(moved) / len(moved) if moved else None,
        answered=asked.answered.total(),
        failed=len(asked.failures),
        primary_usd=usd.get("primary"),
        fallback_usd=usd.get("fallback"),
        median_ms=median(answer.ms for answer in lately) if lately else None,
    )


def costs_in(page: str) -> dict[str, dict[str, float]]:
    """Return US dollars by route and by who served, from a page of metrics."""
    found: dict[str, dict[str, float]] = {}
    for line in page.splitlines():
        if line.startswith(COST):
            labels = dict(_LABEL.findall(line))
            of_route = found.setdefault(labels["route"], {})
            role = labels["served_by"]
            of_route[role] = of_route.get(role, 0.0) + float(line.rpartition(" ")[2])
    return found


def probes_in(page: str) -> dict[str, float]:
    """Return how often the gateway itself asked after a model, by what it found, from a page of metrics."""
    found: dict[str, float] = {}
    for line in page.splitlines():
        if line.startswith(PROBES):
            outcome = dict(_LABEL.findall(line))["outcome"]
            found[outcome] = found.get(outcome, 0.0) + float(line.rpartition(" ")[2])
    return found


def first_seen(seen: set[tuple[str, str]], asked: Mapping[str, Asked]) -> Sequence[Told]:
    """Return what callers met for the first time: a reason, on a route; ``seen`` remembers."""
    told = []
    for route, of_route in asked.items():
        for answer in tuple(of_route.lately):
            if (route, answer.reason) in seen:
                continue
            seen.add((route, answer.reason))
            if answer.reason in ("primary", "no_primary"):
                continue
            text = f"{route}: first answer by {answer.model} because: {answer.reason}"
            if answer.attempts > 1:
                text += f", in the same request ({answer.attempts} attempts)"
            told.append(Told(answer.asked_at, "callers", answer.reason, text))
    return told
