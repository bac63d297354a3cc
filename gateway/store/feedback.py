"""What people said of answers: kept as they said it, each time; the latest word on an input counts."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, insert, or_, select

from gateway.policy.splits import Split
from gateway.reasons import Label, Role
from gateway.store.captured import digest_of, last_deleted, selector_of, wait_for_deletions
from gateway.store.database import Database, alone_with, unavailable_as_such, where
from gateway.store.rows import Row, Rows
from gateway.store.tables_training import feedback
from gateway.store.traffic import first_id

_f = feedback.c
_WORDS: Final[Mapping[str, Any]] = {"label": Label, "split": Split, "role": Role}
_TEXTS: Final = ("request", "answer", "correction", "comment")
# SQLite takes 32,766 parameters in a statement.
_IDS_AT_ONCE: Final = 5_000

Added = Literal["kept", "repeated", "deleted"]
"""repeated: the same key said the same of this request last; deleted: its user or request was deleted meanwhile."""
Marked = tuple[str, str, str]
"""Route, tenant and request id: callers choose request ids, so equal ones of two tenants are two requests."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody said of one answer, once."""

    feedback_id: str
    """UUIDv7 of ``given_at``."""
    route: str
    tenant: str
    """Empty: nobody's in particular."""
    request_id: str
    source: Literal["api", "review"]
    by: str
    """The caller's key by its label, or the person who reviews."""
    given_at: datetime
    label: Label | None = None
    score: float | None = None
    """From 0 to 1."""
    comment: str | None = None
    correction: str | None = None
    """JSON: the assistant's message as it should have been."""
    input_id: str | None = None
    """``policy.inputs.input_id`` of the redacted request; None: what was asked is not known, so it becomes no row."""
    split: Split | None = None
    """``policy.splits.split_of`` the redacted messages; None with ``input_id``."""
    request: str | None = None
    """JSON, redacted: ``{"messages": […]}`` with tools and response_format where there were any. Only of marks that
    become rows: corrections, and answers that are right."""
    answer: str | None = None
    """JSON, redacted: the assistant's message that was given; None where nobody kept it."""
    role: Role | None = None
    provider: str | None = None
    model: str | None = None
    prompt_version: str | None = None
    user_digest: str | None = None
    redacted: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeedbackCount:
    """What was said of one route."""

    right: int
    """Marks, as are the two below: whatever was ever said."""
    wrong: int
    """With the corrections."""
    corrections: int
    train: int
    """Inputs that became a row, by what the row is for: as ``FeedbackStore.counting`` returns them."""
    evaluation: int


class FeedbackStore:
    """Reads and writes. Every method may raise ``DatabaseUnavailable``.

    Of the marks on one input (of a route and tenant) the latest that is a row counts. A later ``wrong`` without a
    correction takes back that an answer of the same model is right; it leaves a correction as it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = Rows(database)

    async def add(self, given: Feedback) -> Added:
        """Keep a mark, unless the last one on the same request is the same and the same key's."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection, connection.begin():
                await wait_for_deletions(connection)
                # So that a repetition finds what it repeats.
                await alone_with(connection, given.route, given.tenant, given.request_id)
                gone = (await last_deleted(connection, _selectors(given))).values()
                if any(at >= given.given_at for at in gone):
                    return "deleted"
                latest = (await connection.execute(_latest_of(given))).mappings().first()
                if latest is not None and _says(_feedback(dict(latest))) == _says(given):
                    return "repeated"
                await connection.execute(insert(feedback).values(asdict(given)))
                return "kept"

    async def latest_of(self, given: Feedback) -> Feedback | None:
        """Return the last mark on the same request of the same route and tenant."""
        found = await self._rows.read(_latest_of(given))
        return _feedback(found[0]) if found else None

    async def history(self, route: str, tenant: str | None) -> list[Feedback]:
        """Return every mark on a route for one tenant (None: nobody in particular), in order of time."""
        return await self._read(select(feedback).where(*_own(route, tenant)).order_by(_f.feedback_id))

    async def counting(self, route: str, tenant: str | None) -> list[Feedback]:
        """Return what became rows and still counts, at most one for each input, in order of time."""
        return await self._read(select(feedback).where(*_own(route, tenant), _counts()).order_by(_f.feedback_id))

    async def counts(self, tenant: str | None = None) -> dict[str, FeedbackCount]:
        """Return how much there is, by route; routes without marks are left out. ``tenant``: of that one's alone."""
        own = (_f.tenant == tenant,) if tenant is not None else ()
        said = select(
            _f.route,
            _sum(_f.label == Label.RIGHT).label("right"),
            _sum(_f.label == Label.WRONG).label("wrong"),
            _sum(_f.correction.is_not(None)).label("corrections"),
        )
        said = said.where(*own).group_by(_f.route)
        rows = select(_f.route, _f.split, func.count().label("rows")).where(_counts(), *own)
        rows = rows.group_by(_f.route, _f.split)
        counted = {(row["route"], row["split"]): row["rows"] for row in await self._rows.read(rows)}
        return {
            row["route"]: FeedbackCount(
                **{name: row[name] for name in ("right", "wrong", "corrections")},
                train=counted.get((row["route"], Split.TRAIN), 0),
                evaluation=counted.get((row["route"], Split.EVALUATION), 0),
            )
            for row in await self._rows.read(said.order_by(_f.route))
        }

    async def marked(self, request_ids: Collection[str]) -> dict[Marked, Feedback]:
        """Return the latest mark on each of these requests, by route, tenant and request id."""
        ids, found = sorted(request_ids), {}
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = select(feedback).where(_f.request_id.in_(ids[start : start + _IDS_AT_ONCE]))
            for mark in await self._read(some.order_by(_f.feedback_id)):
                found[mark.route, mark.tenant, mark.request_id] = mark
        return found

    async def since(self, route: str, at: datetime) -> list[Feedback]:
        """Return the marks on a route from an instant on, of every tenant, in order of time, without their texts."""
        columns = [column for column in feedback.columns if column.name not in _TEXTS]
        # Ids begin with ``given_at``: a range of the key, so that who asks again and again reads what is new alone.
        later = select(*columns).where(_f.feedback_id >= first_id(at), _f.route == route)
        return await self._read(later.order_by(_f.feedback_id))

    async def _read(self, query: Select[Any]) -> list[Feedback]:
        return [_feedback(row) for row in await self._rows.read(query)]


def _counts() -> ColumnElement[bool]:
    """The condition of marks that are rows, and that no later one replaces or takes back."""
    later = feedback.alias("later")
    same_input = (later.c.route == _f.route, later.c.tenant == _f.tenant, later.c.input_id == _f.input_id)
    # Of another model's answer that it is wrong says nothing of this one.
    same_model = or_(
        later.c.model.is_(None),
        _f.model.is_(None),
        and_(later.c.model == _f.model, later.c.provider == _f.provider),
    )
    taken_back = and_(_f.correction.is_(None), later.c.label == Label.WRONG, same_model)
    replaced = exists().where(
        *same_input, later.c.feedback_id > _f.feedback_id, or_(later.c.request.is_not(None), taken_back)
    )
    return and_(_f.request.is_not(None), _f.input_id.is_not(None), ~replaced)


def _own(route: str, tenant: str | None) -> tuple[ColumnElement[bool], ...]:
    return (_f.route == route, _f.tenant == (tenant or ""))


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _latest_of(given: Feedback) -> Select[Any]:
    same = (*_own(given.route, given.tenant), _f.request_id == given.request_id)
    return select(feedback).where(*same).order_by(_f.feedback_id.desc()).limit(1)


def _says(mark: Feedback) -> tuple[object, ...]:
    """Return what tells one mark from another: who says what."""
    texts = (mark.comment, mark.correction, mark.request, mark.answer)
    return (mark.source, mark.by, mark.label, mark.score, *texts)


def _selectors(mark: Feedback) -> list[str]:
    user = [selector_of("user", mark.user_digest)] if mark.user_digest else []
    return [*user, selector_of("request", digest_of(mark.request_id))]


def _feedback(row: Row) -> Feedback:
    read = {name: word(row[name]) for name, word in _WORDS.items() if row[name] is not None}
    return Feedback(**{**row, **read})
