"""Shows the ledger's figures as tables."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

GOAL_JOURNAL_US: Final = 50
GOAL_QUESTION_MS: Final = 100
GOAL_READY_S: Final = 3
GOAL_ROWS_PER_S: Final = 6_000
"""360,000 rows within a minute."""


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Print what was measured."""
    if "journal" in report:
        console.print(_journal(report["journal"]))
    if "drain" in report:
        console.print(_drain(report["drain"]))
    if "opening" in report:
        console.print(_opening(report["opening"]))
    for figures in report.get("size", ()):
        console.print(_questions(figures))
        console.print(_retention(figures["retention"]))


def _journal(figures: Mapping[str, Any]) -> Table:
    title = f"A request's intent and row in the journal, µs (goal: p99 {GOAL_JOURNAL_US} in fast)"
    table = _table(title, "", "p50", "p99", "p99.9", "p99, best pass")
    for name in ("fast", "fast_back_to_back", "strict"):
        mode = figures[name]
        for clock, text in (("wall", "wall"), ("cpu", "processor")):
            values = (mode[f"{clock}_{label}_us"] for label in ("p50", "p99", "p999"))
            best = mode.get("best_pass", {}).get(f"{clock}_p99_us")
            table.add_row(f"{name.replace('_', ' ')}, {text}", *map(_number, values), _number(best))
    fast, strict = figures["fast"], figures["strict"]
    table.caption = (
        f"{fast['bytes_per_request']} bytes a request, read back in {fast['read_back_cpu_us_per_row']} µs. In strict"
        f" {strict['callers']} callers wait {_number(strict['synced_p50_us'])} µs for the disk"
        f" (p99 {_number(strict['synced_p99_us'])}). Load {figures['load_average']}."
    )
    return table


def _drain(runs: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(
        "Rows into the database", "", "rows/s", "our µs/row", "its µs/row", "cores busy", "load", "its backends"
    )
    for run in runs:
        seen = ", ".join(f"{share:.0%} {name}" for name, share in list(run["backends_seen"].items())[:3])
        table.add_row(
            f"{run['database']}, {run['writers']}{', journal' if run['through_journal'] else ''}",
            *map(_number, (run["rows_per_s"], run["our_cpu_us_per_row"], run["server_cpu_us_per_row"])),
            _number(run["cores_busy"]),
            str(run["load_average"]),
            seen,
        )
    return table


def _opening(runs: Sequence[Mapping[str, Any]]) -> Table:
    title = f"A start beside a dead journal (goals: ready in {GOAL_READY_S} s, {GOAL_ROWS_PER_S:,} rows/s)"
    table = _table(title, "", "rows", "ready s", "drained s", "rows/s", "µs/row", "load")
    for run in runs:
        names = ("rows", "ready_s", "drained_s", "rows_per_s", "cpu_us_per_row", "load_average")
        table.add_row(run["database"], *(_number(run[name]) for name in names))
    return table


def _questions(figures: Mapping[str, Any]) -> Table:
    title = (
        f"{figures['database']}, {figures['rows']:,} rows, {figures['bytes'] / 2**30:.1f} GiB, ms"
        f" (goal of reports and pages: {GOAL_QUESTION_MS}); load {figures['load_average']}"
    )
    table = _table(title, "", "best", "p50", "p95")
    for name, taken in figures["questions"].items():
        table.add_row(name, *(_number(taken[label]) for label in ("best_ms", "p50_ms", "p95_ms")))
    return table


def _retention(figures: Mapping[str, Any]) -> str:
    return (
        f"Retention: {figures['rows']:,} rows of a day deleted in {figures['seconds']} s ({figures['slices']} slices,"
        f" p50 {figures['slice_p50_ms']} ms, p99 {figures['slice_p99_ms']} ms)\n"
    )


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number > 0 and head != "its backends" else "left")
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
