"""The end of the demo: what was measured, and whether the ledger and the provider's bill agree, row by row."""

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.store.database import Database
from gateway.store.ledger_export import COLUMNS, Chosen, LedgerRows

NANO: Final = 1_000_000_000
_SHOWN: Final = 3
_NEXT: Final = (
    ("demo --keep", "the same, and /ui stays open at the end"),
    ("serve --with-sandbox", "try it by hand; retire a model yourself"),
    ("init --from openai", "your own fine-tunes, and the day each of them stops"),
)


@dataclass(frozen=True, slots=True)
class CostOf:
    """What one route cost on one target."""

    route: str
    served_by: str
    model: str
    requests: int
    usd_per_1000: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The facts of a demo that is over."""

    requests: int
    streams: int
    failures: tuple[str, ...]
    second_tries: int
    """Requests that met a target which did not answer, and were answered by another in the same breath."""
    rows: int
    billed: int
    differing: tuple[str, ...]
    """Rows on which ledger and bill differ, in a few words each."""
    dead_calls: Mapping[str, int]
    """By model: requests of callers that were sent to it after it was gone."""
    probes: int
    """Calls of the gateway's own, to find out what is the matter with a model."""
    costs: tuple[CostOf, ...] = field(default=())

    @property
    def is_well(self) -> bool:
        """Whether no request failed and every row is billed as it is written."""
        return not self.failures and not self.differing and self.rows == self.billed


async def ledger_rows(database: Database, until: datetime) -> list[dict[str, Any]]:
    """Return every row that the ledger has by now. May raise ``DatabaseUnavailable``."""
    chosen = Chosen(since=datetime.min.replace(year=1970, tzinfo=until.tzinfo), until=until + timedelta(days=1))
    return [dict(zip(COLUMNS, row, strict=True)) async for page in LedgerRows(database).pages(chosen) for row in page]


def differences(rows: Sequence[Mapping[str, Any]], bill: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Compare the ledger with the provider's bill, attempt by attempt, to the nano-dollar. Pure."""
    billed = {_plain(row["attempt_id"]): row for row in bill}
    written = {_plain(row["attempt_id"]): row for row in rows}
    found = [f"{id_} is billed and has no row" for id_ in billed.keys() - written.keys()]
    found += [f"{id_} has a row and was not billed" for id_ in written.keys() - billed.keys()]
    if len(billed) != len(bill):
        found.append(f"{len(bill) - len(billed)} attempts were billed twice")
    for id_ in billed.keys() & written.keys():
        ours, theirs = written[id_], billed[id_]
        for name in ("input_tokens", "cached_input_tokens", "output_tokens", "cost_nanousd"):
            if ours[name] != theirs[name]:
                found.append(f"{id_}: {name} is {ours[name]} in the ledger and {theirs[name]} on the bill")
    return tuple(sorted(found))


def dead_calls(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count, by model, callers' requests that a model refused because it is gone. Pure."""
    found: dict[str, int] = defaultdict(int)
    for row in rows:
        if row["kind"] == "live" and row["status"] == 404:
            found[row["model_asked"]] += 1
    return dict(found)


def costs(rows: Sequence[Mapping[str, Any]]) -> tuple[CostOf, ...]:
    """Return what 1,000 requests cost, by route and by who answered. Pure."""
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        if row["kind"] == "live" and row["outcome"] == "ok":
            entry = sums[row["route"], row["role"], row["model_asked"]]
            entry[0] += 1
            entry[1] += row["cost_nanousd"] or 0
    return tuple(
        CostOf(route, served_by, model, count, nanousd / count * 1000 / NANO)
        for (route, served_by, model), (count, nanousd) in sorted(sums.items(), key=lambda pair: pair[0])
    )


def summary(measured: Measured, url: str, *, keeps: bool, typed: str = "gateway") -> list[str]:
    """Return what a person should know, in lines; ``typed`` is how they type the command. Pure."""
    failed = len(measured.failures)
    lines = [
        f"{measured.requests:,} requests, {measured.streams:,} of them streams: {failed} failed.",
    ]
    lines += [f"  failed: {failure}" for failure in measured.failures[:_SHOWN]]
    if measured.dead_calls:
        met = ", ".join(
            f"{count} {'request' if count == 1 else 'requests'} to {model}"
            for model, count in measured.dead_calls.items()
        )
        lines.append(
            f"Sent to a model that was gone, and answered by the fallback in the same breath: {met}. "
            "Then the gateway had verified it, and sent no other there."
        )
    else:
        lines.append("None of them was sent to a model that was gone.")
    agree = "agree row by row, to the nano-dollar" if not measured.differing else "DIFFER"
    lines.append(
        f"The ledger has {measured.rows:,} rows, the sandbox billed {measured.billed:,} calls ({measured.probes} of "
        f"them the gateway's own looks): they {agree}."
    )
    lines += [f"  {difference}" for difference in measured.differing[:_SHOWN]]
    lines.append("What 1,000 requests cost (the sandbox's prices are made up; the sums are the ledger's):")
    lines += [
        f"  {cost.route:<16} {cost.served_by:<9} ${cost.usd_per_1000:.3f}  on {cost.model} ({cost.requests:,} requests)"
        for cost in measured.costs
    ]
    lines.append("")
    if keeps:
        lines.append(f"It is still running: {url}/ui shows it, {url}/metrics measures it. Ctrl-C ends it.")
    else:
        lines.append("What next:")
        lines += [f"  {typed} {arguments:<22}  {what}" for arguments, what in _NEXT]
    return lines


def fitted(lines: Iterable[str], width: int) -> list[str]:
    """Return the lines as they fit a terminal of so many columns: broken between words. Pure."""
    return [
        part
        for line in lines
        for part in textwrap.wrap(line, width, subsequent_indent="    " * line.startswith(" "), break_on_hyphens=False)
        or [""]
    ]


def document(measured: Measured) -> dict[str, Any]:
    """Return the facts for scripts. Pure."""
    return {
        "event": "summary",
        "is_well": measured.is_well,
        "requests": measured.requests,
        "streams": measured.streams,
        "failed": len(measured.failures),
        "failures": list(measured.failures[:_SHOWN]),
        "second_tries": measured.second_tries,
        "dead_calls": dict(measured.dead_calls),
        "ledger_rows": measured.rows,
        "billed_rows": measured.billed,
        "differing": len(measured.differing),
        "probes": measured.probes,
        "costs": [
            {
                "route": cost.route,
                "served_by": cost.served_by,
                "model": cost.model,
                "requests": cost.requests,
                "usd_per_1000": round(cost.usd_per_1000, 6),
            }
            for cost in measured.costs
        ],
    }


def _plain(attempt_id: Any) -> str:
    return str(attempt_id).replace("-", "")
