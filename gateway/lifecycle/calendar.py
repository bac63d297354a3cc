"""The dates of every model we route to: what the operator wrote, else what ships with the package.

The rows of ``data/model_lifecycles.jsonl`` were collected on 2026-11-23; each names its source. A fine-tune inherits
the fine-tune dates of its base *at its vendor*. The sandbox has no vendor's dates.
"""

from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path

import orjson

from gateway.config.routes import ModelDates, Routes, Target
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates

ROWS = Path(__file__).parent.parent / "data" / "model_lifecycles.jsonl"


class Calendar:
    """Dates by target, for one configuration."""

    def __init__(self, routes: Routes) -> None:
        self._operator = routes.lifecycle

    def dates_of(self, target: Target) -> Dates:
        """Return what is known of a target's dates; ``UNKNOWN_DATES`` where nothing is."""
        own = self._operator.get(target.provider.name, {})
        for name in (target.model, target.base):
            if name is not None and name in own:
                return _from_operator(own[name])
        return shipped_dates(target.provider.kind, target.model, target.base)


def _from_operator(row: ModelDates) -> Dates:
    return Dates(row.announced, row.shutdown, row.replacement, row.certainty, row.source)


def shipped_dates(kind: str, model: str, base: str | None) -> Dates:
    """Return the shipped dates of a model, or of a fine-tune by its base."""
    rows = _rows()
    if (row := rows.get((kind, model))) is not None:
        return Dates(_day(row, "announced"), _day(row, "shutdown"), row.get("replacement"), "planned", row["source"])
    if base is None or (row := rows.get((kind, base))) is None:
        return UNKNOWN_DATES
    shutdown = _day(row, "fine_tune_shutdown") or _day(row, "shutdown")
    if kind == "azure" and "fine_tune_shutdown" not in row:
        # Azure serves a fine-tune beyond its base; the base's own date says nothing of it.
        shutdown = None
    return Dates(_day(row, "announced"), shutdown, row.get("replacement"), "planned", row["source"])


def _day(row: Mapping[str, str], field: str) -> date | None:
    return date.fromisoformat(row[field]) if field in row else None


@cache
def _rows() -> dict[tuple[str, str], dict[str, str]]:
    """Read the shipped rows, once."""
    rows = (orjson.loads(line) for line in ROWS.read_bytes().splitlines())
    return {(row["vendor"], row["model"]): row for row in rows}
