"""What ships about when models stop: rows that people and feeds collected, and litellm's bundled map.

Each row of ``data/model_lifecycles.jsonl`` names its source and, as ``read``, the day that was read. ``shutdown`` is
that of the model itself; ``fine_tune_shutdown``, or a ``fine_tune_rule`` that derives it, that of the models trained
from it. ``x`` at the end of an id stands for any number: ``claude-1.x``. A day that is no date is left out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.policy.inheritance import of_fine_tunes, rule_of
from gateway.policy.lifecycle import Dates, Origin
from gateway.providers.litellm_map import PREFIX, bundled_map

ROWS: Final = Path(__file__).parent.parent / "data" / "model_lifecycles.jsonl"
_VERSION = re.compile(r"\.\d+$")

Row = Mapping[str, Any]


def claims_of_model(kind: str, model: str) -> tuple[Dates, ...]:
    """Return what each shipped source says of a model of this kind of provider, as itself."""
    litellm = _litellm(kind, model)
    return (*map(_own, _rows_of(kind, model)), *((litellm,) if litellm else ()))


def claims_of_fine_tunes(kind: str, base: str) -> tuple[Dates, ...]:
    """Return what each shipped source says of the models that were trained from a base at this kind of provider."""
    return tuple(_inherited(kind, base))


def shipped_models() -> tuple[tuple[str, str], ...]:
    """Return kind and model of everything that a shipped source knows, sorted; fine-tunes are not among them."""
    known = {*_rows(), *bundled_map().dates()}
    return tuple(sorted(pair for pair in known if not pair[1].startswith("ft:")))


def _inherited(kind: str, base: str) -> Iterator[Dates]:
    for row in _rows_of(kind, base):
        own = _own(row)
        day = _day(row, "fine_tune_shutdown")
        if day is not None:
            yield replace(own, shutdown=day, inherited_from=base)
        elif (derived := of_fine_tunes(base, own, row.get("fine_tune_rule") or rule_of(kind))) is not None:
            yield derived
    if (published := _litellm(kind, f"ft:{base}")) is not None:
        yield replace(published, inherited_from=base)
    elif (own_date := _litellm(kind, base)) is not None:
        derived = of_fine_tunes(base, own_date, rule_of(kind))
        if derived is not None:
            yield derived


def _own(row: Row) -> Dates:
    curated = row["origin"] == "curated"
    return Dates(
        announced=_day(row, "announced"),
        shutdown=_day(row, "shutdown"),
        replacement=row.get("replacement"),
        certainty=row.get("certainty", "planned"),
        source=row["source"] if curated else f"{row['source']} (collected by {row['origin']})",
        acts=curated,
        last_training_day=_day(row, "last_training_day"),
        origin=Origin.CURATED if curated else Origin.FEED,
        read=_day(row, "read"),
        note=row.get("note"),
    )


def _litellm(kind: str, model: str) -> Dates | None:
    # The map is a file of megabytes: kinds that it has nothing of must not cause it to be read.
    day = bundled_map().dates().get((kind, model)) if kind in PREFIX else None
    if day is None:
        return None
    return Dates(shutdown=day, source=f"the map of {bundled_map().source}", acts=False, origin=Origin.LITELLM)


def _rows_of(kind: str, model: str) -> list[Row]:
    rows = _rows()
    ids = dict.fromkeys((model, _VERSION.sub(".x", model)))
    return [rows[kind, id_] for id_ in ids if (kind, id_) in rows]


def _day(row: Row, field: str) -> date | None:
    try:
        return date.fromisoformat(row[field])
    except (KeyError, TypeError, ValueError):
        return None


@cache
def _rows() -> dict[tuple[str, str], Row]:
    """Read the shipped rows, once."""
    rows = (orjson.loads(line) for line in ROWS.read_bytes().splitlines())
    return {(row["vendor"], row["model"]): row for row in rows}
