"""What a data set amounts to: rows, tokens, labels, who wrote its answers, and whether there are enough of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from gateway.learning.datasets.building import EVALUATION, EVALUATION_PAIRS, FLOOR, START, TRAIN, TRAIN_PAIRS
from gateway.learning.datasets.directory import DataSet
from gateway.learning.packs.tokens import counted_by, tokens_of, tokens_of_tools

BINS: Final = 12
PERCENTILES: Final = (10, 50, 90, 99)
_MOST_LABELS: Final = 20
_LONGEST_LABEL: Final = 64
FLAT: Final = 0.02
"""Quality that the last points of a learning curve may differ by and still be called flat."""

Trend = Literal["helps", "may_help", "flat", "unknown"]
"""What a learning curve's last two points say of more examples; may_help: the gain is within what chance does."""


@dataclass(frozen=True, slots=True)
class TokenStats:
    """How long rows are."""

    total: int
    longest: int
    percentiles: Mapping[int, int]
    """The percentile → the tokens that so many of a hundred rows have at most."""
    bins: tuple[tuple[int, int, int], ...]
    """From, up to and with, and how many rows: twelve steps of equal width."""
    counted_by: str


@dataclass(frozen=True, slots=True)
class Curve:
    """What the latest learning curve of the route says."""

    trend: Trend
    points: tuple[tuple[int, float, float, float], ...]
    """Examples; quality, and its interval of 95 %."""
    at: str = ""
    """When it was measured."""


@dataclass(frozen=True, slots=True)
class Stats:
    """A data set in figures."""

    rows: Mapping[str, int]
    """By file."""
    sources: Mapping[str, Mapping[str, int]]
    """By file and source."""
    origins: Mapping[str, int]
    """Of train.jsonl: human, model or unknown."""
    models: Mapping[str, int]
    """Of train.jsonl: whose answers, where a model's."""
    tokens: TokenStats | None
    """Of train.jsonl; None: it has no rows."""
    labels: Mapping[str, int]
    """Rows of train.jsonl by answer, where answers are labels."""

    @property
    def training_rows(self) -> int:
        """Rows that are trained on."""
        return self.rows.get(TRAIN, 0)


def stats_of(dataset: DataSet) -> Stats:
    """Return what a data set amounts to."""
    names = [name for name in (TRAIN, EVALUATION, TRAIN_PAIRS, EVALUATION_PAIRS) if name in dataset.files]
    told = dataset.manifest.rows(TRAIN)
    rows = [orjson.loads(line) for line in dataset.lines(TRAIN)]
    return Stats(
        rows={name: len(dataset.lines(name)) for name in names},
        sources={name: _counted(row.source for row in dataset.manifest.rows(name)) for name in names},
        origins=_counted(row.origin for row in told),
        models=_counted(row.model for row in told if row.origin == "model" and row.model),
        tokens=_tokens([_row_tokens(row) for row in rows]) if rows else None,
        labels=_labels(rows),
    )


def curve_of(report: Mapping[str, Any], at: str) -> Curve | None:
    """Return what an evaluation's report says of more examples; None where it measured no curve."""
    asked = [point for point in report.get("curve") or () if point.get("is_asked", True) and point.get("quality")]
    points = tuple(
        (point["examples"], *(point["quality"][key] for key in ("estimate", "low", "high"))) for point in asked
    )
    return Curve(_trend(points), points, at) if points else None


def readiness(rows: int, curve: Curve | None, route: str) -> str:
    """Say whether there are enough training rows: ten are the floor, fifty a start, then the learning curve knows."""
    if rows < FLOOR:
        return f"{rows:,} of {FLOOR} rows that trainers want at least: not ready; mark more answers"
    if rows < START:
        return f"{rows:,} rows are above the floor of {FLOOR}; {START} are a start: mark more answers"
    enough = f"{rows:,} rows are a start ({START} or more)"
    if curve is None or curve.trend == "unknown":
        return f"{enough}; whether more would help, only a learning curve tells: gateway evaluate {route} --curve"
    last = curve.points[-1]
    seen = f"quality {last[1]:.2f} ({last[2]:.2f} to {last[3]:.2f}) with {last[0]:,} examples in the prompt"
    if len(curve.points) > 1:
        before = curve.points[-2]
        seen += f", {before[1]:.2f} with {before[0]:,}"
    words = {
        "helps": "more examples still help",
        "may_help": "more examples may still help, the gain is within what chance does",
        "flat": "it has flattened, more of the same examples help little",
    }
    return f"{enough}; the learning curve of {curve.at[:10]} says that {words[curve.trend]} ({seen})"


def _trend(points: Sequence[tuple[int, float, float, float]]) -> Trend:
    if len(points) < 2:
        return "unknown"
    before, last = points[-2], points[-1]
    if last[1] - before[1] < FLAT:
        return "flat"
    return "helps" if last[2] > before[1] else "may_help"


def _counted(words: Any) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _row_tokens(row: Mapping[str, Any]) -> int:
    return tokens_of(row["messages"]) + tokens_of_tools(row.get("tools"))


def _tokens(counts: Sequence[int]) -> TokenStats:
    ordered = sorted(counts)
    at = {share: ordered[max(0, -(-share * len(ordered) // 100) - 1)] for share in PERCENTILES}
    return TokenStats(sum(ordered), ordered[-1], at, _bins(ordered), counted_by())


def _bins(ordered: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    least, most = ordered[0], ordered[-1]
    width = max(1, -(-(most - least + 1) // BINS))
    counts = Counter((count - least) // width for count in ordered)
    steps = range(-(-(most - least + 1) // width))
    return tuple((least + step * width, least + (step + 1) * width - 1, counts[step]) for step in steps)


def _labels(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count answers where they are labels: at most twenty short ones, each twice or more on average."""
    counts: Counter[str] = Counter()
    for row in rows:
        answer = row["messages"][-1]
        text = answer.get("content")
        if answer.get("tool_calls") or not isinstance(text, str) or len(text) > _LONGEST_LABEL:
            return {}
        counts[" ".join(text.split())] += 1
        if len(counts) > _MOST_LABELS:
            return {}
    return dict(counts.most_common()) if len(counts) >= 2 and len(rows) >= 2 * len(counts) else {}
