"""The arithmetic of the benchmark: percentiles, ratios, goals. No I/O."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Figures = Mapping[str, float | int | None]
"""One subject's flat figures, as they stand in the JSON; a figure that was not taken is None or absent."""


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile of values in ascending order; None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summarise(samples_us: Sequence[float]) -> dict[str, float | None]:
    """Return p50 and p99 of samples in any order."""
    ordered = sorted(samples_us)
    return {"p50_us": percentile(ordered, 0.50), "p99_us": percentile(ordered, 0.99)}


def added(with_gateway: float | None, direct: float | None) -> float | None:
    """Return what a gateway adds to the same percentile of a direct call, in the same unit."""
    if with_gateway is None or direct is None:
        return None
    return with_gateway - direct


@dataclass(frozen=True)
class Goal:
    """A bound on a figure of ours, absolute or as a multiple of a peer's."""

    text: str
    figure: str
    bound: Literal["at least", "at most"]
    limit: float
    peer: str | None = None


GOALS = (
    Goal("requests/s at 64 connections, against TensorZero's", "requests_per_s_64", "at least", 1.0, "tensorzero"),
    Goal("p50 at one connection, against TensorZero's", "p50_us_1", "at most", 1.3, "tensorzero"),
    Goal("requests/s at 64 connections, against LiteLLM's", "requests_per_s_64", "at least", 60.0, "litellm"),
    Goal("requests/s at 64 connections, against Portkey's", "requests_per_s_64", "at least", 7.0, "portkey"),
    Goal("requests/s at 64 connections, against nginx's", "requests_per_s_64", "at least", 0.06, "nginx"),
    Goal("chunks/s relayed at 64 connections, against LiteLLM's", "chunks_per_s_64", "at least", 100.0, "litellm"),
    Goal("idle memory, MiB", "idle_rss_mib", "at most", 120.0),
    Goal("time to ready, s", "ready_s", "at most", 2.0),
)
COMPARED = (
    "requests_per_s_64", "p50_us_1", "p99_us_1", "cpu_us_per_request", "chunks_per_s_64", "chunks_per_s_1",
    "idle_rss_mib", "ready_s",
)  # fmt: skip


def ratio(ours: Figures, theirs: Figures | None, figure: str) -> float | None:
    """Return ours over theirs; None where either was not taken."""
    mine, other = ours.get(figure), (theirs or {}).get(figure)
    if mine is None or not other:
        return None
    return mine / other


def ratios(subjects: Mapping[str, Figures], ours: str = "gateway") -> dict[str, dict[str, float | None]]:
    """Return our figures over each peer's: above one means that ours is the larger number."""
    if ours not in subjects:
        return {}
    return {
        name: {figure: ratio(subjects[ours], theirs, figure) for figure in COMPARED}
        for name, theirs in subjects.items()
        if name != ours
    }


def judge(subjects: Mapping[str, Figures], ours: str = "gateway") -> list[dict[str, Any]]:
    """Hold our figures against the goals; ``met`` is None where a goal could not be measured."""
    return [_judge_one(goal, subjects, ours) for goal in GOALS]


def _judge_one(goal: Goal, subjects: Mapping[str, Figures], ours: str) -> dict[str, Any]:
    mine = subjects.get(ours, {})
    value = ratio(mine, subjects.get(goal.peer), goal.figure) if goal.peer else mine.get(goal.figure)
    met = None
    if value is not None:
        met = value >= goal.limit if goal.bound == "at least" else value <= goal.limit
    return {
        "goal": goal.text, "figure": goal.figure, "peer": goal.peer, "bound": goal.bound, "limit": goal.limit,
        "value": value, "met": met,
    }  # fmt: skip
