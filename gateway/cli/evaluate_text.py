"""An evaluation in a terminal: Rich's tables there, plain aligned text for a pipe."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from gateway.cli.forecast_text import Printer
from gateway.learning.evaluation.report_words import (
    BESIDE,
    LIMITS,
    challenger,
    change_span,
    corrected,
    cost_of,
    decimal,
    incumbent,
    per_1000,
    span,
)
from gateway.lifecycle.forecast_words import money

if TYPE_CHECKING:
    from gateway.learning.evaluation.collecting import Collector


class Progress:
    """A bar on stderr, where somebody looks at it."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("asking", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, done: int, of: int) -> None:
        """Show how far the questions are."""
        self._bar.update(self._task, completed=done, total=of)

    def step(self, said: str) -> None:
        """Show what is asked now."""
        self._bar.update(self._task, description=said, completed=0)


def troubles(collector: "Collector") -> Iterator[str]:
    """Yield what kept questions from being asked or answered, in this run."""
    if collector.is_out_of_money:
        yield (f"stopped at the cost cap: {money(collector.purse.spent)} spent; a higher --max-usd goes on from here")
    if collector.is_stopped:
        yield f"stopped: {collector.asked} answers are kept, nothing is concluded; the same command goes on from here"
    for name, said in collector.stopped.items():
        yield f"{name} was not asked any more: {said}"
    if collector.failures:
        yield f"{collector.failures} questions were not answered; run it again to ask them again"


def show(report: Mapping[str, Any]) -> None:
    """Print a whole report."""
    out = Printer()
    out.line(f"{report['route']}: {report['sentence']}", loud=True)
    chosen = ", chosen from the data" if report["measure_is_chosen"] else ""
    prompt = "" if report["version"] else f", prompt {report['prompt_version'] or 'none'}"
    out.line(
        f"{report['target']} ({report['model']}{prompt}) in the place of "
        f"{report['primary']}; measure {report['measure']}{chosen}; margin {report['margin']}; mean difference "
        f"{span(report['difference'])}"
    )
    _arms(out, report)
    _costs(out, report)
    for heading, rows in (("sizes", (report["sweep"] or {}).get("tried", [])), ("learning curve", report["curve"])):
        _sizes(out, heading, rows)
    if said := corrected(report):
        out.line()
        out.line("corrections", loud=True)
        for line in (*said, BESIDE):
            out.line(line)
    out.line()
    for note in report["notes"]:
        out.line(note)
    out.line(LIMITS)


def _arms(out: Printer, report: Mapping[str, Any]) -> None:
    arms = report["arms"]
    names = {"fallback": report["target"], "ceiling": "incumbent"} if report["version"] else {}
    shown = [[names.get(arm, arm), span(arms[arm])] for arm in ("floor", "fallback", "ceiling") if arm in arms]
    if shown:
        out.line()
        out.table(["arm", report["measure"]], shown, [False] * len(shown))
    columns = [
        arm for arm in ("floor", "fallback", "ceiling") if any(arm in means for means in report["measures"].values())
    ]
    others = [[name, *(decimal(means[arm]) for arm in columns)] for name, means in report["measures"].items()]
    if others:
        out.line()
        out.table(["measure", *(names.get(arm, arm) for arm in columns)], others, [False] * len(others))


def _costs(out: Printer, report: Mapping[str, Any]) -> None:
    costs, first = report["costs"], report["first_token"]
    own, other = (name.removeprefix("the ") for name in (challenger(report), incumbent(report)))
    if costs:
        rows = [
            [other, per_1000(costs["primary"]), ""],
            [f"{own}, as billed", per_1000(costs["fallback"]), change_span(costs["change"])],
            [f"{own}, cold cache", per_1000(costs["fallback_cold"]), change_span(costs["change_cold"])],
            [f"{own}, warm cache", per_1000(costs["fallback_warm"]), change_span(costs["change_warm"])],
        ]
        out.line()
        out.table(["cost", "per 1,000 requests", "change"], rows, [False] * len(rows))
    if first:
        out.line()
        out.line(
            f"first token: {first['fallback_ms']:.0f} ms, the {other}'s {first['primary_ms']:.0f} ms, "
            f"{change_span(first['change'])} on {first['requests']} requests"
        )


def _sizes(out: Printer, heading: str, rows: list[Mapping[str, Any]]) -> None:
    if not rows:
        return
    cells = [
        [
            str(one["fixed"]),
            str(one["similar"]),
            str(one["examples"]),
            span(one["quality"]) if one["quality"] else "",
            decimal(one["difference"]) if one["difference"] is not None else "",
            cost_of(one),
            f"{one['first_token_ms']:.0f} ms" if one["first_token_ms"] is not None else "",
            "proposed" if one.get("is_proposed") else "frontier" if "is_proposed" in one and one["on_frontier"] else "",
        ]
        for one in rows
    ]
    headers = ["fixed", "similar", "examples", "quality", "difference", "per 1,000 requests", "first token", heading]
    out.line()
    out.line(heading, loud=True)
    out.table(headers, cells, [False] * len(cells))
