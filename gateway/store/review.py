"""The queue of answers that people look at: what was captured, newest first, with the latest word on each."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Select, and_, case, exists, func, select

from gateway.reasons import Label, Role
from gateway.store.database import Database
from gateway.store.rows import Row, Rows
from gateway.store.tables_learning import captured
from gateway.store.tables_training import feedback

A_PAGE: Final = 50
MOST_MARKS: Final = 20
"""Of one input, the latest."""
_ALL: Final = 2**62
_c, _f = captured.c, feedback.c


class Show(StrEnum):
    """Which answers of the queue."""

    UNMARKED = "unmarked"
    WRONG = "wrong"
    RIGHT = "right"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the queue is narrowed to."""

    show: Show = Show.UNMARKED
    route: str | None = None
    """None: every route."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose answers somebody may see; others are to them as if they were not there."""

    routes: frozenset[str] | None = None
    """None: every route's."""
    tenant: str | None = None
    """None: every tenant's, and nobody's in particular."""

    def covers(self, route: str) -> bool:
        """Tell whether a route is one of them."""
        return self.routes is None or route in self.routes

    def of(self, kept: FromClause) -> list[ColumnElement[bool]]:
        """Return the conditions on a table's ``route`` and ``tenant``."""
        conditions = [kept.c.route.in_(sorted(self.routes))] if self.routes is not None else []
        return [*conditions, *([kept.c.tenant == self.tenant] if self.tenant is not None else [])]


EVERYTHING: Final = Scope()


@dataclass(frozen=True, slots=True)
class Mark:
    """What somebody said of an answer to this input, right or wrong, a score or a remark."""

    feedback_id: str
    label: Label | None
    score: float | None
    by: str
    source: str
    given_at: datetime
    comment: str | None
    correction: str | None
    """JSON: the assistant's message as it should have been."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One captured request, the answer that was given, and the latest mark that says right or wrong."""

    captured_id: str
    route: str
    tenant: str
    input_id: str
    request_id: str
    role: Role
    provider: str
    model: str
    prompt_version: str | None
    request: str
    answer: str
    captured_at: datetime
    expires_at: datetime
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class ReviewCount:
    """How far the answers of a route are looked through."""

    rows: int
    right: int
    wrong: int
    corrected: int
    """Of the wrong ones, by their latest mark."""

    @property
    def marked(self) -> int:
        """Answers that somebody has called right or wrong."""
        return self.right + self.wrong


class ReviewStore:
    """Reads. What has expired by ``now`` is not there. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database, scope: Scope = EVERYTHING) -> None:
        """``scope``: whose answers it reads; no others are found, counted or led on to."""
        self._rows, self._scope = Rows(database), scope

    async def page(self, chosen: Chosen, now: datetime, before: str | None = None) -> tuple[list[Answered], str | None]:
        """Return a page, newest first, and the ``before`` of the next; None: this is the last."""
        query = self._queue(chosen, now).order_by(_c.captured_id.desc()).limit(A_PAGE + 1)
        if before is not None:
            query = query.where(_c.captured_id < before)
        found = [_answered(row) for row in await self._rows.read(query)]
        return found[:A_PAGE], found[A_PAGE - 1].captured_id if len(found) > A_PAGE else None

    async def find(self, captured_id: str, now: datetime) -> Answered | None:
        """Return one answer; None: it has expired, was deleted, or never was."""
        query = self._queue(Chosen(Show.ALL), now).where(_c.captured_id == captured_id)
        return next((_answered(row) for row in await self._rows.read(query)), None)

    async def beside(self, chosen: Chosen, captured_id: str, now: datetime) -> tuple[str | None, str | None]:
        """Return the ids of the answers before (newer) and after (older) one in the queue."""
        ids = self._queue(chosen, now).with_only_columns(_c.captured_id).limit(1)
        newer = ids.where(_c.captured_id > captured_id).order_by(_c.captured_id)
        older = ids.where(_c.captured_id < captured_id).order_by(_c.captured_id.desc())
        found = [await self._rows.read(query) for query in (newer, older)]
        before, after = (rows[0]["captured_id"] if rows else None for rows in found)
        return before, after

    async def next_unmarked(self, route: str | None, captured_id: str, now: datetime) -> str | None:
        """Return the next answer that nobody has marked: an older one, else a newer one; None: all are."""
        newer, older = await self.beside(Chosen(Show.UNMARKED, route), captured_id, now)
        return older or newer

    async def marks(self, answered: Answered) -> list[Mark]:
        """Return what was said of the answers to this input, newest first."""
        same = (_f.route == answered.route, _f.tenant == answered.tenant, _f.input_id == answered.input_id)
        query = select(*(_f[name] for name in _MARK)).where(*same).order_by(_f.feedback_id.desc()).limit(MOST_MARKS)
        return [_mark(row) for row in await self._rows.read(query)]

    async def latest(self) -> str | None:
        """Return the id of the mark that was kept last, by which one knows whether there are new ones."""
        found = await self._rows.read(select(_f.feedback_id).order_by(_f.feedback_id.desc()).limit(1))
        return found[0]["feedback_id"] if found else None

    async def counts(self, now: datetime) -> Mapping[str, ReviewCount]:
        """Return how far each route is; those of which nothing is kept are left out."""
        # Counted by the index of inputs, and what waits to be purged taken off: the rows themselves are long.
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        expired, scope = _expired(now), self._scope
        for query in (_rows(captured, scope), _marks(captured, scope)):
            for row in await self._rows.read(query):
                found[row.pop("route")].update(row)
        for query in (_rows(expired, scope), _marks(expired, scope)):
            for row in await self._rows.read(query):
                found[row.pop("route")].subtract(row)
        counts = {route: ReviewCount(**{field.name: n[field.name] for field in _COUNTED}) for route, n in found.items()}
        return {route: count for route, count in sorted(counts.items()) if count.rows > 0}

    def _queue(self, chosen: Chosen, now: datetime) -> Select[Any]:
        return _queue(chosen, now).where(*self._scope.of(captured))


_COUNTED: Final = fields(ReviewCount)
_MARK: Final = tuple(field.name for field in fields(Mark))
_ROW: Final = tuple(field.name for field in fields(Answered) if field.name != "mark")


def _of_input(kept: FromClause) -> ColumnElement[bool]:
    """The condition that a mark is the latest of those on an input that say right or wrong."""
    later = feedback.alias("later")
    same = (later.c.route == _f.route, later.c.tenant == _f.tenant, later.c.input_id == _f.input_id)
    newer = exists().where(*same, later.c.label.is_not(None), later.c.feedback_id > _f.feedback_id)
    own = (_f.route == kept.c.route, _f.tenant == kept.c.tenant, _f.input_id == kept.c.input_id)
    return and_(*own, _f.label.is_not(None), ~newer)


def _queue(chosen: Chosen, now: datetime) -> Select[Any]:
    columns = [_c[name] for name in _ROW] + [_f[name].label(f"mark_{name}") for name in _MARK]
    kept = [_c.expires_at > now]
    if chosen.route is not None:
        kept.append(_c.route == chosen.route)
    if chosen.show is Show.UNMARKED:
        kept.append(_f.feedback_id.is_(None))
    elif chosen.show is not Show.ALL:
        kept.append(_f.label == chosen.show.value)
    return select(*columns).select_from(captured.outerjoin(feedback, _of_input(captured))).where(*kept)


def _expired(now: datetime) -> FromClause:
    """Return what waits to be purged; by its limit SQLite is kept from looking for it among all the others."""
    few = select(_c.route, _c.tenant, _c.input_id).where(_c.expires_at <= now).limit(_ALL)
    return few.subquery()


def _rows(kept: FromClause, scope: Scope) -> Select[Any]:
    """Return the query that counts answers, by route."""
    counted = select(kept.c.route, func.count().label("rows")).select_from(kept)
    return counted.where(*scope.of(kept)).group_by(kept.c.route)


def _marks(kept: FromClause, scope: Scope) -> Select[Any]:
    """Return the query that counts the marks which say right or wrong, by route."""

    def those(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0))

    columns = (
        those(_f.label == Label.RIGHT).label("right"),
        those(_f.label == Label.WRONG).label("wrong"),
        those(_f.correction.is_not(None)).label("corrected"),
    )
    counted = select(kept.c.route, *columns).select_from(feedback.join(kept, _of_input(kept)))
    return counted.where(*scope.of(kept)).group_by(kept.c.route)


def _answered(row: Row) -> Answered:
    said = {name: row.pop(f"mark_{name}") for name in _MARK}
    mark = _mark(said) if said["feedback_id"] is not None else None
    return Answered(**{**row, "role": Role(row["role"])}, mark=mark)


def _mark(row: Row) -> Mark:
    return Mark(**{**row, "label": Label(row["label"]) if row["label"] is not None else None})
