"""Shows a run's result as tables."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

TITLES = {
    "direct": "stub alone",
    "gateway": "gateway",
    "nginx": "nginx",
    "tensorzero": "TensorZero",
    "portkey": "Portkey",
    "litellm": "LiteLLM",
}
ROWS = {
    "requests/s, 64 connections": "requests_per_s_64",
    "p50 µs, 1 connection": "p50_us_1",
    "p99 µs, 1 connection": "p99_us_1",
    "added p50 µs, 1 connection": "added_p50_us_1",
    "added p99 µs, 1 connection": "added_p99_us_1",
    "added p50 µs, 64 connections": "added_p50_us_64",
    "added p99 µs, 64 connections": "added_p99_us_64",
    "CPU µs per request": "cpu_us_per_request",
    "share of its core, plain": "request_cpu_share",
    "chunks/s, 64 streams": "chunks_per_s_64",
    "chunks/s, 1 stream": "chunks_per_s_1",
    "share of its core, streams": "stream_cpu_share",
    "added p50 µs to first chunk": "added_first_chunk_p50_us_1",
    "idle memory MiB": "idle_rss_mib",
    "memory after load MiB": "loaded_rss_mib",
    "ready s": "ready_s",
}


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Print the figures, our share of each peer's, and the goals."""
    subjects: dict[str, Any] = report["subjects"]
    console.print(_figures(subjects))
    if report["ratios"]:
        console.print(_ratios(report["ratios"]))
    if report["mixed"]:
        console.print(_mixed(report["mixed"]))
    if report["learning"]:
        console.print(_learning(report["learning"]))
    if "gateway" in subjects:
        console.print(_goals(report["goals"]))
    for name, reason in report["absent"].items():
        console.print(f"{TITLES[name]} is absent: {escape(reason)}")


def _figures(subjects: Mapping[str, Any]) -> Table:
    table = _table("Each on one core; added: with the subject, less the stub alone", "", *map(TITLES.get, subjects))
    for title, name in ROWS.items():
        table.add_row(title, *(_number(figures.get(name)) for figures in subjects.values()))
    errors = (sum(count for name, count in figures.items() if "errors_" in name) for figures in subjects.values())
    table.add_row("failed requests", *map(str, errors))
    return table


def _ratios(ratios: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = _table("The gateway's figure over theirs", "", *map(TITLES.get, ratios))
    titles = {name: title for title, name in ROWS.items()}
    for name in next(iter(ratios.values())):
        table.add_row(titles[name], *(_number(values[name]) for values in ratios.values()))
    return table


def _mixed(figures: Mapping[str, Any]) -> Table:
    wire, litellm = figures["wire_per_s"], figures["litellm_per_s"]
    table = _table(
        "The gateway and its litellm on one core; latency from when a request was due", "", "p50 µs", "p99 µs"
    )
    rows = {
        f"{wire} requests/s, alone": figures["wire"]["alone"],
        f"{wire} requests/s, beside {litellm} through litellm": figures["wire"]["beside"],
        f"the {litellm} through litellm": figures["litellm"],
    }
    for title, row in rows.items():
        table.add_row(title, _number(row["p50_us"]), _number(row["p99_us"]))
    table.caption = (
        f"Through litellm alone: {figures['litellm_alone_per_s']:.0f} requests/s. "
        f"Memory of both: {figures['memory_with_worker_mib']:.0f} MiB."
    )
    return table


def _learning(figures: Mapping[str, Any]) -> Table:
    title = f"{figures['requests_per_s']} requests/s, of which {figures['share']:.0%} rehearse or are captured"
    table = _table(title, "", "p50 µs", "p99 µs")
    for name, row in figures["latency"].items():
        table.add_row(name, _number(row["p50_us"]), _number(row["p99_us"]))
    return table


def _goals(goals: list[dict[str, Any]]) -> Table:
    table = _table("Goals", "", "bound", "measured", "met")
    words = {True: "[green]yes[/]", False: "[red]no[/]", None: "not measured"}
    for goal in goals:
        unit = " ×" if goal["peer"] else ""
        bound = f"{goal['bound']} {goal['limit']:g}{unit}"
        table.add_row(goal["goal"], bound, _number(goal["value"]), words[goal["met"]])
    return table


def _table(title: str, *heads: str | None) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, head in enumerate(heads):
        table.add_column(head or "", justify="right" if number else "left", no_wrap=True)
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
