"""What happened to requests: their attempts, newest first, in pages whose work is bounded.

Rows are read by ranges of the primary key, which carries the time; there is no index to find a request by its id, since
every insert would pay for it. So each question looks through so many rows, and says how far it came.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, select, true

from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.tables import attempts
from gateway.store.traffic import first_id

PAGE_REQUESTS: Final = 50
MOST_ROWS: Final = 500_000
"""Looked through for one page."""
LONGEST_S: Final = 2.0
"""Spent on looking for one page."""
_CHUNKS: Final = (200, 2_000, 20_000)
"""Rows looked through at once: few at first, since most pages need no more."""
NEAR: Final = timedelta(minutes=15)
"""Attempts of one request start within so long of each other; an id that comes again later is another request."""
_MOST_NEAR_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True)
class KeptAttempt:
    """One row of the ledger, as it is kept."""

    attempt_id: str
    request_id: str
    route: str
    target: str
    role: str
    provider: str
    model_asked: str
    model_answered: str | None
    reason: str
    prompt_version: str | None
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usage_source: str
    usage_rejected: bool
    price_version: str | None
    cost_nanousd: int | None
    outcome: str
    failure: str | None
    endpoint: str
    stream: bool
    pinned: bool
    kind: str
    instance: str
    config_hash: str
    key: str | None
    team: str | None
    tags: dict[str, str] | None
    service_tier: str | None
    status: int | None
    ttft_ms: float | None
    duration_ms: float
    overhead_ms: float | None
    started_at: datetime
    finished_at: datetime
    substituted: bool
    contract_broken: bool | None
    traits: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which attempts are meant; None: any."""

    kind: str | None = "live"
    route: str | None = None
    target: str | None = None
    reason: str | None = None
    outcome: str | None = None

    def takes(self, row: KeptAttempt) -> bool:
        """Tell whether an attempt is meant."""
        return all(value is None or getattr(row, name) == value for name, value in self._named())

    def condition(self) -> ColumnElement[bool]:
        """Return the same in SQL."""
        return and_(true(), *(attempts.c[name] == value for name, value in self._named() if value is not None))

    def _named(self) -> Iterable[tuple[str, str | None]]:
        return ((field.name, getattr(self, field.name)) for field in fields(self))


@dataclass(frozen=True, slots=True)
class Found:
    """A page of requests."""

    requests: tuple[tuple[KeptAttempt, ...], ...]
    """Each with its attempts in order, newest request first."""
    looked_back_to: datetime | None
    """How far was looked; None: to the ledger's beginning."""
    before: str | None
    """The attempt id with which the next page begins; None: there is none."""
    stopped: bool
    """Whether the search ended for its bounds, before the page was full."""


class RequestStore:
    """Reads. Every method may raise ``DatabaseUnavailable``."""

    def __init__(
        self, database: Database, *, most_rows: int = MOST_ROWS, longest_s: float = LONGEST_S, near: timedelta = NEAR
    ) -> None:
        self._database = database
        self._most_rows, self._longest_s, self._near = most_rows, longest_s, near

    async def latest(self, wanted: Wanted, before: str | None = None, *, limit: int = PAGE_REQUESTS) -> Found:
        """Return the latest requests of which an attempt is meant, before an attempt."""
        found: dict[str, KeptAttempt] = {}
        looked, began, cursor, end = 0, monotonic(), before, None
        for chunk in self._chunks():
            last = await self._nth_before(cursor, chunk)
            rows = await self._rows(_between(last, cursor), wanted.condition())
            looked += chunk
            for row in rows:
                if len(found) == limit and row.request_id not in found:
                    end = row
                    break
                found.setdefault(row.request_id, row)
            if end is not None or last is None:
                break
            cursor = last
            if looked >= self._most_rows or monotonic() - began > self._longest_s:
                break
        whole = await self._whole(found.values(), wanted, before)
        if end is not None:
            oldest = list(found.values())[-1]
            return Found(whole, oldest.started_at, oldest.attempt_id, stopped=False)
        if last is None:
            return Found(whole, None, None, stopped=False)
        return Found(whole, await self._started_at(cursor), cursor, stopped=True)

    async def of_request(self, request_id: str, at: str | None = None, before: str | None = None) -> Found:
        """Return the latest request with this id: all of its attempts, of every kind.

        ``at``: one of them, where it is known. Without it rows are looked through from ``before`` back, within bounds.
        """
        if at is not None:
            rows = await self._near_to(at, at, attempts.c.request_id == request_id)
            return Found((tuple(rows),) if rows else (), None, None, stopped=False)
        looked, began, cursor = 0, monotonic(), before
        for chunk in self._chunks(first=_CHUNKS[-1]):
            last = await self._nth_before(cursor, chunk)
            rows = await self._rows(_between(last, cursor), attempts.c.request_id == request_id)
            looked += chunk
            if rows:
                return await self.of_request(request_id, rows[0].attempt_id)
            if last is None:
                return Found((), None, None, stopped=False)
            cursor = last
            if looked >= self._most_rows * 5 or monotonic() - began > self._longest_s:
                break
        return Found((), await self._started_at(cursor), cursor, stopped=True)

    def _chunks(self, first: int = _CHUNKS[0]) -> Iterable[int]:
        yield min(first, self._most_rows)
        yield from (min(chunk, self._most_rows) for chunk in _CHUNKS[1:])
        while True:
            yield min(_CHUNKS[-1], self._most_rows)

    async def _whole(
        self, found: Iterable[KeptAttempt], wanted: Wanted, before: str | None
    ) -> tuple[tuple[KeptAttempt, ...], ...]:
        """Return the requests of these attempts with all their attempts, but those that an earlier page has."""
        newest = {row.request_id: row for row in found}
        if not newest:
            return ()
        ids = [row.attempt_id for row in newest.values()]
        near = await self._near_to(min(ids), max(ids), attempts.c.request_id.in_(sorted(newest)))
        by_request: dict[str, list[KeptAttempt]] = {}
        for row in near:
            anchor = newest[row.request_id]
            if abs(row.started_at - anchor.started_at) <= self._near and row.kind == anchor.kind:
                by_request.setdefault(row.request_id, []).append(row)
        whole = []
        for request_id, anchor in newest.items():
            rows = by_request.get(request_id) or [anchor]
            if before is None or not any(row.attempt_id >= before and wanted.takes(row) for row in rows):
                whole.append(tuple(rows))
        return tuple(whole)

    async def _near_to(self, first: str, last: str, condition: ColumnElement[bool]) -> list[KeptAttempt]:
        """Return the attempts around two others, oldest first; of very many only those that are nearest."""
        low, high = await self._started_at(first), await self._started_at(last)
        if low is None or high is None:
            return []
        before, behind = first_id(low - self._near), first_id(high + self._near)
        floor = await self._nth_before(first, _MOST_NEAR_ROWS) or before
        ceiling = await self._nth_after(last, _MOST_NEAR_ROWS) or behind
        within = _between(max(before, floor), min(behind, ceiling))
        return list(reversed(await self._rows(within, condition)))

    async def _started_at(self, attempt_id: str | None) -> datetime | None:
        if attempt_id is None:
            return None
        rows = await self._read(select(attempts.c.started_at).where(attempts.c.attempt_id == attempt_id))
        return rows[0][0] if rows else None

    async def _nth_before(self, cursor: str | None, count: int) -> str | None:
        key = attempts.c.attempt_id
        query = select(key).order_by(key.desc()).offset(count - 1).limit(1)
        rows = await self._read(query if cursor is None else query.where(key < cursor))
        return str(rows[0][0]) if rows else None

    async def _nth_after(self, cursor: str, count: int) -> str | None:
        key = attempts.c.attempt_id
        rows = await self._read(select(key).where(key > cursor).order_by(key).offset(count - 1).limit(1))
        return str(rows[0][0]) if rows else None

    async def _rows(self, within: Sequence[ColumnElement[bool]], condition: ColumnElement[bool]) -> list[KeptAttempt]:
        query = select(*_COLUMNS).where(*within, condition).order_by(attempts.c.attempt_id.desc())
        return [KeptAttempt(*row) for row in await self._read(query)]

    async def _read(self, query: Select[Any]) -> list[Any]:
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return list(await connection.execute(query))


_COLUMNS: Final = tuple(attempts.c[field.name] for field in fields(KeptAttempt))


def _between(first: str | None, behind: str | None) -> list[ColumnElement[bool]]:
    """Return the condition for keys from the first until, and without, the one behind; None: no bound."""
    key = attempts.c.attempt_id
    bounds = []
    if first is not None:
        bounds.append(key >= first)
    if behind is not None:
        bounds.append(key < behind)
    return bounds
