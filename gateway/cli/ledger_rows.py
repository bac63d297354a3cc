"""How the ledger's rows leave it: as CSV that a spreadsheet may open, or as JSON lines. Pure."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import orjson

COST: Final = "cost_nanousd"
COST_USD: Final = "cost_usd"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet take a text for a formula."""

Render = Callable[[Iterable[Sequence[Any]]], bytes]


def csv_lines(columns: Sequence[str]) -> tuple[bytes, Render]:
    """Return the line of names, and what makes lines of rows (RFC 4180, UTF-8).

    A text that a spreadsheet would calculate gets an apostrophe before it. Nothing is an empty cell.
    """
    cost_at = columns.index(COST) + 1

    def lines(rows: Iterable[Sequence[Any]]) -> bytes:
        cells = []
        for row in rows:
            line = [_cell(value) for value in row]
            line.insert(cost_at, _usd(row[cost_at - 1]) or "")
            cells.append(line)
        return _csv(cells)

    return _csv([_with_usd(columns)]), lines


def json_lines(columns: Sequence[str]) -> tuple[bytes, Render]:
    """Return nothing, and what makes lines of rows: one object each, every column in it."""
    names, cost_at = _with_usd(columns), columns.index(COST) + 1

    def lines(rows: Iterable[Sequence[Any]]) -> bytes:
        made = []
        for row in rows:
            usd = _usd(row[cost_at - 1])
            values = [_rfc3339(value) if isinstance(value, datetime) else value for value in row]
            # A number as it is written, not the nearest that a float can hold.
            values.insert(cost_at, None if usd is None else orjson.Fragment(usd))
            made.append(orjson.dumps(dict(zip(names, values, strict=True)), option=orjson.OPT_APPEND_NEWLINE))
        return b"".join(made)

    return b"", lines


def _with_usd(columns: Sequence[str]) -> list[str]:
    at = columns.index(COST) + 1
    return [*columns[:at], COST_USD, *columns[at:]]


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return "'" + value if value.startswith(_FORMULA) else value
    if isinstance(value, datetime):
        return _rfc3339(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return value


def _csv(cells: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(cells)
    return text.getvalue().encode("utf-8", "replace")


def _rfc3339(instant: datetime) -> str:
    """Write an instant in UTC, to the microsecond, so that the texts sort as the instants do."""
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _usd(nanousd: int | None) -> str | None:
    return None if nanousd is None else f"{Decimal(nanousd).scaleb(-9):.9f}"
