"""What must hold between the sandbox's bill, the ledger and what callers saw, whatever was killed in between."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kill_load import Call
from sqlalchemy import text

from gateway.sandbox.bill import BillRow
from gateway.store.database import Database

NEAR_TOKENS = 64
NEAR_SHARE = 0.05
HOUR = 3_600_000_000
"""In microseconds, as instants are stored."""
_ADDED_UP = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nanousd",
)


@dataclass
class Ledger:
    """The ledger as it stands: its rows, and its totals by hour and day."""

    rows: list[Any]
    hours: list[Any]
    days: list[Any]


async def read_ledger(url: str) -> Ledger:
    """Read everything, over a connection that is no gateway's."""
    database = await Database.open(url)
    try:
        async with database.engine.connect() as connection:
            rows = (await connection.execute(text("SELECT * FROM attempts"))).all()
            hours = (await connection.execute(text("SELECT * FROM usage_hours"))).all()
            days = (await connection.execute(text("SELECT * FROM usage_days"))).all()
        return Ledger(list(rows), list(hours), list(days))
    finally:
        await database.close()


def plain(attempt_id: Any) -> str:
    """Return an id as both sides write it."""
    return str(attempt_id).replace("-", "")


@dataclass
class Agreement:
    """What was compared, for the summary line of a rig."""

    billed: int = 0
    rows: int = 0
    exact: int = 0
    interrupted: int = 0
    farthest_in: int = 0
    farthest_out: int = 0
    unbilled: int = 0

    def __str__(self) -> str:
        return (
            f"{self.billed} billed, {self.rows} rows, 0 lost, 0 double; {self.exact} exact to the nano-dollar, "
            f"{self.interrupted} interrupted (off by ≤ {self.farthest_in} tokens in, ≤ {self.farthest_out} out), "
            f"{self.unbilled} never reached the provider"
        )


def check(bill: Sequence[BillRow], ledger: Ledger, calls: Iterable[Call]) -> Agreement:
    """Hold the ledger against the bill and the callers; raises AssertionError with what differs."""
    nothing_lost(bill, ledger)
    nothing_double(bill, ledger)
    totals_agree(ledger)
    found = costs_agree(bill, ledger)
    answers_are_whole(ledger, calls)
    return found


def nothing_lost(bill: Sequence[BillRow], ledger: Ledger) -> None:
    have = {plain(row.attempt_id) for row in ledger.rows}
    lost = [row for row in bill if plain(row.attempt_id) not in have]
    assert not lost, f"lost: {len(lost)} of {len(bill)} billed attempts have no row, such as {lost[:3]}"


def nothing_double(bill: Sequence[BillRow], ledger: Ledger) -> None:
    rows = Counter(plain(row.attempt_id) for row in ledger.rows)
    double = [attempt_id for attempt_id, count in rows.items() if count > 1]
    assert not double, f"double: {len(double)} attempts have more than one row, such as {double[:3]}"
    sent = Counter(plain(row.attempt_id) for row in bill)
    twice = [attempt_id for attempt_id, count in sent.items() if count > 1]
    assert not twice, f"sent twice: {twice[:3]}"


def totals_agree(ledger: Ledger) -> None:
    """Compare the hourly totals with the rows, hour by hour and route by route."""
    expected: dict[tuple[Any, ...], Counter[str]] = {}
    for row in ledger.rows:
        key = (row.started_at // HOUR, row.route, row.target, row.kind, bool(row.pinned))
        total = expected.setdefault(key, Counter())
        total["attempts"] += 1
        total["interrupted"] += row.outcome == "interrupted"
        for name in _ADDED_UP:
            total[name] += getattr(row, name) or 0
    found: dict[tuple[Any, ...], Counter[str]] = {}
    for row in ledger.hours:
        key = (row.hour // HOUR, row.route, row.target, row.kind, bool(row.pinned))
        total = found.setdefault(key, Counter())
        for name in ("attempts", "interrupted", *_ADDED_UP):
            total[name] += getattr(row, name)
    clean = [{key: dict(+total) for key, total in one.items()} for one in (expected, found)]
    assert clean[0] == clean[1], f"totals differ from rows: rows come to {clean[0]}, usage_hours to {clean[1]}"
    _days_agree(ledger)


def _days_agree(ledger: Ledger) -> None:
    by_day: list[dict[tuple[Any, ...], Counter[str]]] = [{}, {}]
    for totals, kept in zip(by_day, (ledger.hours, ledger.days), strict=True):
        for row in kept:
            # The row's first column: when its hour, or day, begins.
            total = totals.setdefault((row[0] // (24 * HOUR), *row[1:10]), Counter())
            for name in ("attempts", "interrupted", *_ADDED_UP):
                total[name] += getattr(row, name)
    assert by_day[0] == by_day[1], f"days differ from their hours: {by_day[0]}, usage_days {by_day[1]}"


def costs_agree(bill: Sequence[BillRow], ledger: Ledger) -> Agreement:
    """Compare what each attempt used and cost: to the nano-dollar where the provider counted, else nearly."""
    billed = {plain(row.attempt_id): row for row in bill}
    found = Agreement(billed=len(bill), rows=len(ledger.rows))
    wrong: list[str] = []
    for row in ledger.rows:
        charge = billed.get(plain(row.attempt_id))
        if charge is None:
            found.unbilled += 1
            if row.usage_source == "provider" or row.outcome == "ok":
                wrong.append(f"{row.attempt_id} was never billed and is {row.outcome}")
        elif row.usage_source == "provider":
            found.exact += 1
            ours = row.input_tokens, row.cached_input_tokens, row.output_tokens, row.cost_nanousd
            theirs = charge.input_tokens, charge.cached_input_tokens, charge.output_tokens, charge.cost_nanousd
            if ours != theirs:
                wrong.append(f"{row.attempt_id} is {ours}, and was billed {theirs}")
        else:
            found.interrupted += 1
            off_in, off_out = abs(row.input_tokens - charge.input_tokens), abs(row.output_tokens - charge.output_tokens)
            found.farthest_in, found.farthest_out = max(found.farthest_in, off_in), max(found.farthest_out, off_out)
            near_in = near(row.input_tokens, charge.input_tokens)
            # A request whose gateway died before headers came is not charged for its prompt; ours supposes it is.
            near_in = near_in or (charge.status is None and charge.input_tokens == 0)
            if not near_in or not near(row.output_tokens, charge.output_tokens):
                wrong.append(
                    f"{row.attempt_id} ({row.outcome}, {row.usage_source}) is {row.input_tokens} in, "
                    f"{row.output_tokens} out, and was billed {charge}"
                )
    assert not wrong, f"costs differ: {len(wrong)} of {len(ledger.rows)} rows, such as {wrong[:3]}"
    return found


def near(ours: int, billed: int) -> bool:
    return abs(ours - billed) <= max(NEAR_TOKENS, NEAR_SHARE * billed)


def answers_are_whole(ledger: Ledger, calls: Iterable[Call]) -> None:
    """Whoever saw the end of an answer has a row that knows it too."""
    by_request: dict[str, list[Any]] = {}
    for row in ledger.rows:
        by_request.setdefault(row.request_id, []).append(row)
    for call in calls:
        if not call.ended or call.status != 200 or call.code is not None:
            continue
        rows = by_request.get(call.request_id, [])
        assert rows, f"acknowledged and lost: {call} has no row"
        outcomes = [row.outcome for row in rows]
        assert "ok" in outcomes, f"acknowledged and lost: the caller saw the end of {call}, whose rows are {outcomes}"


def nothing_refused(journals: Path) -> None:
    """No row was set aside as one that the database refuses."""
    file = journals / "refused.jsonl"
    refused = file.read_text().splitlines() if file.exists() else []
    assert not refused, f"refused: {len(refused)} rows were set aside, such as {refused[0]}"
