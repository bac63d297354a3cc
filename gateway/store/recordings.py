"""What a primary answered while it lived."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select

from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_learning import recordings

_r = recordings.c


@dataclass(frozen=True, slots=True)
class Recording:
    """One answer to one input, or a batch's promise of one."""

    route: str
    provider: str
    model: str
    input_id: str
    sample: int
    """0; 1 for the second sample."""
    tenant: str
    """Empty: nobody's in particular."""
    request: str
    """JSON: ``{"messages": […], "tools": […]}``, redacted where it was captured."""
    answer: str | None
    """JSON: the assistant's message; None while a batch is at work on it."""
    source: str
    recorded_at: datetime
    batch_id: str | None = None
    request_id: str | None = None
    """Of the live request it was captured from."""
    user_digest: str | None = None
    attempt_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nanousd: int | None = None
    duration_ms: float | None = None
    ttft_ms: float | None = None
    asked_with: str = ""
    """A hash of the parameters that the target sets; empty: none."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """How much of a route's primary is recorded."""

    inputs: int
    second_samples: int
    pending: int
    """Promised by batches."""


class RecordingStore:
    """Reads and writes. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def keep(self, rows: Sequence[Recording]) -> None:
        """Keep recordings; a later one of the same input and sample replaces the earlier."""
        await self._rows.put(recordings, [asdict(row) for row in rows])

    async def of_route(self, route: str, provider: str, model: str, asked_with: str = "") -> list[Recording]:
        """Return everything recorded of a route's primary with these parameters, by input and sample."""
        own = (_r.route == route, _r.provider == provider, _r.model == model, _r.asked_with == asked_with)
        found = await self._rows.read(select(recordings).where(*own).order_by(_r.input_id, _r.sample))
        return [Recording(**row) for row in found]

    async def pending(self, route: str, provider: str, model: str) -> list[Recording]:
        """Return what batches have promised of a route's primary, with whatever parameters they were asked."""
        own = (_r.route == route, _r.provider == provider, _r.model == model, _r.answer.is_(None))
        found = await self._rows.read(select(recordings).where(*own).order_by(_r.input_id, _r.sample))
        return [Recording(**row) for row in found]

    async def counts(self) -> dict[tuple[str, str, str, str], Recorded]:
        """Return how much is recorded, by route, provider, model and ``asked_with``."""
        done = _r.answer.is_not(None)
        key = (_r.route, _r.provider, _r.model, _r.asked_with)
        query = select(*key, _r.sample, done.label("done"), func.count().label("rows"))
        found = await self._rows.read(query.group_by(*key, _r.sample, done))
        counted: dict[tuple[str, str, str, str], dict[str, int]] = {}
        for row in found:
            own = counted.setdefault(
                (row["route"], row["provider"], row["model"], row["asked_with"]),
                {"inputs": 0, "second_samples": 0, "pending": 0},
            )
            kind = ("second_samples" if row["sample"] else "inputs") if row["done"] else "pending"
            own[kind] += row["rows"]
        return {key: Recorded(**own) for key, own in counted.items()}

    async def forget_pending(self, batch_id: str) -> int:
        """Take back what a batch promised and did not keep; return how many rows."""
        return (await self._rows.write(delete(recordings).where(_r.batch_id == batch_id, _r.answer.is_(None))))[0]

    async def rows_of(self, **columns: Any) -> list[Recording]:
        """Return recordings by exact values of columns, such as ``user_digest``."""
        own = [_r[name] == value for name, value in columns.items()]
        return [Recording(**row) for row in await self._rows.read(select(recordings).where(*own))]
