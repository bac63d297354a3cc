"""The demo on a terminal: one screen that tells what happens; the same as plain lines, or as JSON."""

import re
import textwrap
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.cli.demo_scene import RouteNow, Scene, Told

WIDTH: Final = 120
WIDE: Final = 114
"""Columns of a terminal that has room for everything."""
FRAME: Final = 4
BAR: Final = 10
SHOWN: Final = 9
"""How many lines the latest events have."""
SAID: Final = 16
"""The column of an event where its text begins: behind its day and who it is about."""
_MODEL: Final = re.compile(r"\bft:[^\s,]+\w")
_WHO: Final = {"vendor": "magenta", "gateway": "cyan", "callers": "yellow"}


def screen(scene: Scene, width: int = WIDTH) -> RenderableType:
    """Return the whole screen, for a terminal of so many columns."""
    story, width = scene.story, min(width, WIDTH)
    failed = Text(f"{scene.failed:,} failed", style="bold red" if scene.failed else "bold green")
    counts = Text.assemble((f"{scene.answered:,}", "bold"), " answered, ", failed)
    inside = Text.assemble("look inside: ", (f"{scene.url}/ui", "underline"), style="dim")
    title = Text.assemble(
        ("Understudy", "bold"), f" · {scene.now:%d %B %Y} · day {story.day(scene.now)} of {story.day(story.ends)}"
    )
    speed = Text(f"a second is {scene.speed / 3600:.0f} h", style="dim")
    if width >= WIDE:
        speed.append(", all else is real")
    parts: list[RenderableType] = [
        _sides(title, speed),
        calendar(scene, width - FRAME),
        Text(),
        routes(scene.routes, is_wide=width >= WIDE),
        Text(),
        events(scene.told, width - FRAME),
        Text(),
        _sides(counts, inside),
    ]
    return Panel(Group(*parts), border_style="dim", padding=(0, 1), width=width)


def _sides(left: Text, right: Text) -> Table:
    grid = Table.grid(expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(left, right)
    return grid


def calendar(scene: Scene, width: int) -> Text:
    """Return the days as a line, what has passed of it, and two lines of marks below."""
    story = scene.story
    length = story.ends - story.starts

    def column(at: datetime) -> int:
        share = min(1.0, max(0.0, (at - story.starts) / length))
        return round(share * (width - 1))

    today = column(scene.now)
    drawn = Text(no_wrap=True, overflow="crop")
    drawn.append("━" * today, style="bold")
    drawn.append("●", style="bold green")
    drawn.append("─" * (width - 1 - today), style="dim")
    # By turns on two lines: days that are near each other have no room on one.
    for marks in (story.marks[::2], story.marks[1::2]):
        drawn.append("\n")
        end = 0
        for mark in marks:
            label = f"▲ {mark.at:%d %b} {mark.word}" if width >= WIDE - FRAME else f"▲ {mark.word}"
            start = max(end, column(mark.at))
            drawn.append(" " * (start - end))
            drawn.append(label, style="bold" if scene.now >= mark.at else "dim")
            end = start + len(label)
    return drawn


def routes(rows: Iterable[RouteNow], *, is_wide: bool) -> Table:
    """Return who answers each route, and why; what it costs where there is room."""
    table = Table(box=None, expand=True, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("route", "answered by", "because", "on the fallback"):
        table.add_column(name, no_wrap=True)
    if is_wide:
        for name in ("answered", "$ per 1,000: tuned", "fallback", "median"):
            table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        # Nothing to say of a route that is as it should be.
        style = "" if row.reason in ("primary", "no_primary") else "bold"
        cells: list[RenderableType] = [
            Text(row.name, style="bold"),
            Text(answering(row), style=style),
            Text(row.reason or "nobody can", style=style),
            _bar(row.share),
        ]
        if is_wide:
            median = f"{row.median_ms:.0f} ms" if row.median_ms is not None else "–"
            cells += [f"{row.answered:,}", usd(row.primary_usd), usd(row.fallback_usd), median]
        table.add_row(*cells)
    return table


def _bar(share: float | None) -> Text:
    filled = round((share or 0.0) * BAR)
    bar = Text("█" * filled, style="yellow")
    bar.append("░" * (BAR - filled), style="dim")
    bar.append(f" {share:>4.0%}" if share is not None else "    –", style="default")
    return bar


def events(told: Iterable[Told], width: int) -> Group:
    """Return the latest events, the newest last; always as many lines, so that nothing jumps.

    What does not fit a line of so many columns goes on below it; events that then have no room are the oldest ones.
    """
    lines: list[Text] = []
    for each in reversed(list(told)[-SHOWN:]):
        said = textwrap.wrap(_MODEL.sub(lambda found: short(found[0]), each.text), width - SAID) or [""]
        if len(lines) + len(said) > SHOWN:
            break
        first = Text.assemble((f"{each.at:%d %b} ", "dim"), (f"{each.who:<8} ", _WHO.get(each.who, "")), said[0])
        lines[:0] = [first, *(Text(" " * SAID + rest) for rest in said[1:])]
    return Group(*lines, *(Text() for _ in range(SHOWN - len(lines))))


def answering(row: RouteNow) -> str:
    """Say who answers, by short names; on a ramp there are two."""
    if row.model is None:
        return "nobody"
    if row.reason == "deprecated_ramp" and row.share is not None and row.share < 1.0:
        return f"fine-tune, {short(row.model)}"
    return short(row.model)


def short(model: str) -> str:
    """Return a model's name as it fits a table: of a fine-tune, its base without the date."""
    if not model.startswith("ft:"):
        return model
    parts = model[3:].partition(":")[0].split("-")
    while len(parts) > 1 and parts[-1].isdigit():
        parts.pop()
    return f"ft:{'-'.join(parts)}"


def usd(amount: float | None) -> str:
    """Return US dollars with the digits that count."""
    return "–" if amount is None else f"{amount:.3f}"


def told_line(told: Told) -> str:
    """Return an event as a plain line."""
    return f"{told.at:%Y-%m-%d}  {told.who:<8} {told.text}"


def scene_line(scene: Scene) -> str:
    """Return the scene as a plain line."""
    shares = ", ".join(
        f"{row.name} {row.share:.0%} on the fallback ({row.reason})" for row in scene.routes if row.share is not None
    )
    return f"{scene.now:%Y-%m-%d}  {scene.answered:,} answered, {scene.failed} failed: {shares}"


def scene_document(scene: Scene) -> dict[str, Any]:
    """Return the scene for scripts."""
    return {
        "event": "scene",
        "at": scene.now.isoformat(),
        "day": scene.story.day(scene.now),
        "sent": scene.sent,
        "answered": scene.answered,
        "failed": scene.failed,
        "routes": {
            row.name: {
                "served_by": row.served_by,
                "model": row.model,
                "reason": row.reason,
                "fallback_share": row.share,
                "answered": row.answered,
                "failed": row.failed,
                "usd_per_1000_primary": row.primary_usd,
                "usd_per_1000_fallback": row.fallback_usd,
                "median_ms": row.median_ms,
            }
            for row in scene.routes
        },
    }


def told_document(told: Told) -> dict[str, Any]:
    """Return an event for scripts."""
    return {"event": "told", "at": told.at.isoformat(), "who": told.who, "kind": told.kind, "text": told.text}


def picture(scene: Scene, title: str) -> str:
    """Return the screen as an SVG that asks nobody for a font."""
    import io

    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(screen(scene, WIDTH))
    svg = console.export_svg(title=title, unique_id="demo")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
