"""A report's plots as inline SVG, drawn for the width of a phone; colours come from the page's own style. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from html import escape
from types import MappingProxyType
from typing import Any, Final

from markupsafe import Markup

WIDTH: Final = 360
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 12, 34
_ARMS: Final = ("floor", "fallback", "ceiling")
Interval = Mapping[str, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class Scale:
    """Maps values to a stretch of the drawing."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = low, high if high > low else low + 1
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        """Return where a value is, kept within the stretch."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self._start + share * (self._end - self._start), 1)


def arms(found: Mapping[str, Interval], measure: str, names: Mapping[str, str] = MappingProxyType({})) -> Markup:
    """Draw the arms with their intervals, from 0 to 1; ``names`` says what to call those that have another name."""
    shown = [arm for arm in _ARMS if arm in found]
    x = Scale(0, 1, LEFT, WIDTH - RIGHT)
    height = TOP + 30 * len(shown) + BOTTOM
    parts = [*_axis_below(x, (0, 0.25, 0.5, 0.75, 1), height - BOTTOM, measure)]
    for number, arm in enumerate(shown):
        y = TOP + 30 * number + 15
        parts.append(_text(LEFT - 8, y + 4, names.get(arm, arm), "end"))
        parts += _whisker_across(x, y, found[arm], arm)
    said = ", ".join(f"{names.get(arm, arm)} {found[arm]['estimate']:.2f}" for arm in shown)
    return _drawing(height, f"{measure}: {said}", parts)


def differences(counts: Sequence[int], margin: float, names: Mapping[str, str] = MappingProxyType({})) -> Markup:
    """Draw how many rows have which difference, fallback − ceiling, with the margin; ``names`` as of ``arms``."""
    of = " − ".join(names.get(arm, arm) for arm in ("fallback", "ceiling"))
    height = 180
    x, y = Scale(-1, 1, 34, WIDTH - RIGHT), Scale(0, max(*counts, 1), height - BOTTOM, TOP)
    parts = [*_axis_below(x, (-1, -0.5, 0, 0.5, 1), height - BOTTOM, f"{of}, by row")]
    step = 2 / len(counts)
    for number, count in enumerate(counts):
        left, right = x.at(-1 + number * step), x.at(-1 + (number + 1) * step)
        kind = "bad" if -1 + (number + 0.5) * step < -margin else "good"
        parts.append(
            f'<rect class="{kind}" x="{left}" y="{y.at(count)}" width="{round(right - left - 1, 1)}" '
            f'height="{round(y.at(0) - y.at(count), 1)}"><title>{count} rows</title></rect>'
        )
    at = x.at(-margin)
    parts.append(f'<line class="margin" x1="{at}" x2="{at}" y1="{TOP}" y2="{height - BOTTOM}"/>')
    parts.append(_text(28, y.at(y.high) + 4, f"{int(y.high):,}", "end"))
    return _drawing(height, f"differences of {sum(counts)} rows; margin {margin}", parts)


def cost_and_quality(points: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw points of ``label``, ``cost`` (dollars per 1,000 requests), ``quality`` and ``kind``."""
    height = 240
    ticks = round_ticks(max((point["cost"] for point in points), default=0.0) * 1.1)
    x, y = Scale(0, ticks[-1], 40, WIDTH - RIGHT), Scale(0, 1, height - BOTTOM, TOP)
    parts = [*_axis_below(x, ticks, height - BOTTOM, "$ per 1,000 requests"), *_axis_left(y, 40)]
    places = [(x.at(point["cost"]), y.at(point["quality"])) for point in points]
    for (at, up), point in zip(places, points, strict=True):
        parts.append(f'<circle class="{escape(point["kind"], quote=True)}" cx="{at}" cy="{up}" r="4.5"/>')
    parts += _labels(places, [str(point["label"]) for point in points], height - BOTTOM)
    said = "; ".join(f"{point['label']}: ${point['cost']:.2f}, {point['quality']:.2f}" for point in points)
    return _drawing(height, f"cost and quality: {said}", parts)


def curve(points: Sequence[Mapping[str, Any]], found: Mapping[str, Interval]) -> Markup:
    """Draw quality over the number of examples, evenly spaced, with the arms as lines to compare with."""
    height = 220
    points = [point for point in points if point["quality"]]
    x, y = Scale(-0.5, max(len(points), 1) - 0.5, 40, WIDTH - RIGHT), Scale(0, 1, height - BOTTOM, TOP)
    parts = [*_axis_left(y, 40), _text((40 + WIDTH - RIGHT) / 2, height - 4, "examples in the pack", "middle")]
    for arm in ("floor", "ceiling"):
        if arm in found:
            up = y.at(found[arm]["estimate"])
            parts.append(f'<line class="{arm}" x1="40" x2="{WIDTH - RIGHT}" y1="{up}" y2="{up}"/>')
            parts.append(_text(WIDTH - RIGHT, up - 4, arm, "end"))
    way = " ".join(f"{x.at(number)},{y.at(point['quality']['estimate'])}" for number, point in enumerate(points))
    parts.append(f'<polyline class="fallback" points="{way}"/>')
    for number, point in enumerate(points):
        at, quality = x.at(number), point["quality"]
        parts.append(
            f'<line class="fallback" x1="{at}" x2="{at}" y1="{y.at(quality["low"])}" y2="{y.at(quality["high"])}"/>'
            f'<circle class="fallback" cx="{at}" cy="{y.at(quality["estimate"])}" r="3.5"/>'
        )
        parts.append(_text(at, height - BOTTOM + 14, str(point["examples"]), "middle"))
    said = "; ".join(f"{point['examples']} examples: {point['quality']['estimate']:.2f}" for point in points)
    return _drawing(height, f"learning curve: {said}", parts)


def points_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what there is to draw of cost and quality: the sizes of a sweep, else the fallback and the primary."""
    if report["sweep"]:
        asked = [one for one in report["sweep"]["tried"] if one["is_asked"] and one["quality"]]
        tried = [one for one in asked if one["cost_nanousd"] is not None]
        return [
            {
                "label": f"{one['fixed']}+{one['similar']}",
                "cost": one["cost_nanousd"] / 1e6,
                "quality": one["quality"]["estimate"],
                "kind": "chosen" if one["is_proposed"] else "fallback" if one["on_frontier"] else "other",
            }
            for one in tried
        ]
    costs, found = report["costs"], report["arms"]
    if not costs or "fallback" not in found or "ceiling" not in found:
        return []
    own, other = (report["target"], "incumbent") if report.get("version") else ("fallback", "fine-tune")
    of = ((other, costs["primary"], "ceiling", "ceiling"), (own, costs["fallback"], "fallback", "chosen"))
    return [
        {"label": label, "cost": cost / 1e6, "quality": found[arm]["estimate"], "kind": kind}
        for label, cost, arm, kind in of
    ]


def round_ticks(most: float) -> list[float]:
    """Return round values from 0 on, the last one at or above ``most``: four to six of them."""
    if most <= 0:
        return [0.0, 1.0]
    step = 10.0 ** math.floor(math.log10(most / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if factor * step * 5 >= most)
    return [number * step for number in range(math.ceil(most / step - 1e-9) + 1)]


def _labels(places: Sequence[tuple[float, float]], labels: Sequence[str], bottom: float) -> Iterator[str]:
    """Put each label beside its point where it hides no point and no other label, as far as that goes."""
    taken = [(at - 5, up - 5, at + 5, up + 5) for at, up in places]
    for (at, up), label in zip(places, labels, strict=True):
        wide = 6.5 * len(label)
        spots = [(at + 8, up + 4), (at - 8 - wide, up + 4), (at - wide / 2, up + 17), (at - wide / 2, up - 9)]
        inside = [(left, base) for left, base in spots if left > 42 and left + wide < WIDTH and 9 < base < bottom]
        boxes = [(left, base - 9, left + wide, base + 2) for left, base in inside or spots]
        box = min(boxes, key=lambda one: sum(map(partial(_overlap, one), taken)))
        taken.append(box)
        yield _text(box[0], box[1] + 9, label, "start")


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _drawing(height: float, said: str, parts: Sequence[str]) -> Markup:
    label = escape(said, quote=True)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">'
    return Markup(f"{head}<title>{label}</title>{''.join(parts)}</svg>")


def _whisker_across(x: Scale, y: float, interval: Interval, kind: str) -> Iterator[str]:
    low, high = x.at(interval["low"]), x.at(interval["high"])
    yield f'<line class="{kind}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
    yield f'<circle class="{kind}" cx="{x.at(interval["estimate"])}" cy="{y}" r="4.5"/>'


def _axis_below(x: Scale, ticks: Sequence[float], y: float, name: str) -> Iterator[str]:
    yield f'<line class="axis" x1="{x.at(x.low)}" x2="{x.at(x.high)}" y1="{y}" y2="{y}"/>'
    for tick in ticks:
        yield _text(x.at(tick), y + 14, f"{tick:.2f}".rstrip("0").rstrip(".").replace("-", "−"), "middle")
    yield _text((x.at(x.low) + x.at(x.high)) / 2, y + 30, name, "middle")


def _axis_left(y: Scale, x: float) -> Iterator[str]:
    yield f'<line class="axis" x1="{x}" x2="{x}" y1="{y.at(y.low)}" y2="{y.at(y.high)}"/>'
    for tick in (0, 0.5, 1):
        yield _text(x - 6, y.at(tick) + 4, f"{tick:g}", "end")


def _text(x: float, y: float, said: str, anchor: str) -> str:
    return f'<text x="{round(x, 1)}" y="{round(y, 1)}" text-anchor="{anchor}">{escape(said)}</text>'
