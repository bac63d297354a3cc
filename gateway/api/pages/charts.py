"""Small charts as numbers: where bars and lines are drawn, so that templates only write them down. No I/O.

Amounts begin at zero, what is compared has one scale, and the newest value stands in figures at its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 96
"""Of the drawing, without its labels."""
TOP: Final = 16
ROOM_RIGHT: Final = 96
"""For the figures at the line's end."""


@dataclass(frozen=True, slots=True)
class Column:
    """One day: parts stand on each other."""

    x: float
    width: float
    parts: tuple[tuple[str, float, float], ...]
    """Class, y and height."""
    said: str
    """For who points at it."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns over days."""

    columns: tuple[Column, ...]
    ticks: tuple[tuple[float, str], ...]
    """Where a day is written below, and which."""
    most: str
    """What the highest column amounts to."""
    last: str
    """What the last column amounts to: the number at the end."""
    last_y: float


@dataclass(frozen=True, slots=True)
class Amount:
    """One day's parts, by class, and how they are said."""

    day: date
    parts: tuple[tuple[str, float], ...]
    said: str
    short: str

    @property
    def total(self) -> float:
        """All parts."""
        return sum(value for _, value in self.parts)


def columns(amounts: Sequence[Amount]) -> Chart | None:
    """Lay days out from left to right; None: there is nothing to draw."""
    highest = max((amount.total for amount in amounts), default=0.0)
    if highest <= 0:
        return None
    step = (WIDTH - ROOM_RIGHT) / max(len(amounts), 7)
    drawn = tuple(_column(amount, number * step, step, highest) for number, amount in enumerate(amounts))
    biggest = max(amounts, key=lambda amount: amount.total)
    last = amounts[-1]
    return Chart(
        drawn,
        tuple(_ticks(amounts, step)),
        biggest.short,
        last.short,
        round(TOP + HEIGHT * (1 - last.total / highest), 1),
    )


def _column(amount: Amount, x: float, step: float, highest: float) -> Column:
    parts, y = [], float(TOP + HEIGHT)
    for name, value in amount.parts:
        height = HEIGHT * value / highest
        if value > 0:
            y -= height
            parts.append((name, round(y, 1), round(height, 1)))
    return Column(round(x + step * 0.1, 1), round(step * 0.8, 1), tuple(parts), amount.said)


def _ticks(amounts: Sequence[Amount], step: float) -> list[tuple[float, str]]:
    """Name the first day, and Mondays, or the first of the month, as far as there is room."""
    ticks, free_from = [], 0.0
    for number, amount in enumerate(amounts):
        x = round((number + 0.1) * step, 1)
        if (number == 0 or amount.day.weekday() == 0) and x >= free_from:
            ticks.append((x, f"{amount.day.day} {amount.day:%b}"))
            free_from = x + 64
    return ticks


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure of several targets, on one scale from zero."""

    label: str
    rows: tuple[tuple[str, str, float | None, str], ...]
    """Class, target, share of the scale (None: not known), and the value in words."""


def compared(label: str, values: Sequence[tuple[str, str, float | None, str]]) -> Compared:
    """Return bars of one scale: the largest is all of it."""
    highest = max((value for _, _, value, _ in values if value is not None), default=0.0)
    return Compared(
        label,
        tuple(
            (name, target, None if value is None or highest <= 0 else value / highest, said)
            for name, target, value, said in values
        ),
    )
