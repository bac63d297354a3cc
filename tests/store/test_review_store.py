"""The queue of answers to be reviewed: newest first, with the latest word on each, and what is counted of it."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from gateway.ledger.entry import new_attempt_id
from gateway.policy.splits import Split
from gateway.reasons import Label
from gateway.store.captured import Captured, CapturedStore
from gateway.store.database import Database
from gateway.store.feedback import Feedback, FeedbackStore
from gateway.store.review import A_PAGE, MOST_MARKS, Chosen, ReviewCount, ReviewStore, Scope, Show
from tests.store.test_captured import DAY, NOW, a_row

MINUTE = timedelta(minutes=1)
BETTER = json.dumps({"role": "assistant", "content": "better"})


def a_mark(row: Captured, minutes: int = 1, label: Label | None = Label.RIGHT, **fields: Any) -> Feedback:
    at = NOW + minutes * MINUTE
    given: dict[str, Any] = {
        "feedback_id": new_attempt_id(at), "route": row.route, "tenant": row.tenant, "request_id": row.request_id,
        "input_id": row.input_id, "split": Split.TRAIN, "source": "review", "by": "mira", "given_at": at,
        "label": label,
    }  # fmt: skip
    return Feedback(**{**given, **fields})


@pytest.fixture
def queue(database: Database) -> ReviewStore:
    return ReviewStore(database)


async def keep(database: Database, *rows: Captured) -> None:
    assert await CapturedStore(database).add(rows) == ["kept"] * len(rows)


async def say(database: Database, *marks: Feedback) -> None:
    for mark in marks:
        assert await FeedbackStore(database).add(mark) == "kept"


async def shown(queue: ReviewStore, show: Show = Show.UNMARKED, route: str | None = None) -> list[str]:
    rows, _ = await queue.page(Chosen(show, route), NOW + DAY)
    return [row.request_id for row in rows]


async def test_what_nobody_marked_comes_newest_first_and_the_latest_mark_decides(
    database: Database, queue: ReviewStore
) -> None:
    rows = [a_row(number) for number in range(1, 7)]
    await keep(database, *rows)
    await say(
        database,
        a_mark(rows[0], 1, Label.WRONG),
        a_mark(rows[0], 2, Label.RIGHT, by="kim"),
        a_mark(rows[1], 3, Label.WRONG, correction=BETTER, comment="no"),
        a_mark(rows[2], 4, None, score=0.2),
        a_mark(rows[3], 5, Label.RIGHT, tenant="acme"),
        a_mark(rows[4], 6, Label.RIGHT, route="another"),
        a_mark(rows[5], 7, Label.WRONG, input_id=None, split=None),
    )
    assert await shown(queue) == ["req-6", "req-5", "req-4", "req-3"]
    assert await shown(queue, Show.RIGHT) == ["req-1"]
    assert await shown(queue, Show.WRONG) == ["req-2"]
    assert await shown(queue, Show.ALL) == [f"req-{number}" for number in (6, 5, 4, 3, 2, 1)]
    found = await queue.find(rows[1].captured_id, NOW)
    assert found is not None
    assert (found.request, found.answer, found.role) == (rows[1].request, rows[1].answer, rows[1].role)
    assert found.mark is not None
    assert (found.mark.label, found.mark.correction, found.mark.comment) == (Label.WRONG, BETTER, "no")
    first = await queue.find(rows[0].captured_id, NOW)
    assert first is not None
    assert first.mark is not None
    assert first.mark.by == "kim"


async def test_everything_that_was_said_of_an_input_is_told_newest_first(
    database: Database, queue: ReviewStore
) -> None:
    row = a_row(1)
    await keep(database, row, a_row(2))
    await say(database, *(a_mark(row, minute, score=minute / 100) for minute in range(1, MOST_MARKS + 3)))
    found = await queue.find(row.captured_id, NOW)
    assert found is not None
    marks = await queue.marks(found)
    assert [mark.score for mark in marks] == [minute / 100 for minute in range(MOST_MARKS + 2, 2, -1)]
    other = await queue.find(a_row(2).captured_id, NOW)
    assert other is not None
    assert await queue.marks(other) == []


async def test_a_route_and_a_tenant_have_marks_of_their_own(database: Database, queue: ReviewStore) -> None:
    same = {"input_id": "f" * 16}
    rows = [
        a_row(1, route="reply", **same),
        a_row(2, route="reply:acme", tenant="acme", **same),
        a_row(3, route="reply:globex", tenant="globex", **same),
    ]
    await keep(database, *rows)
    await say(database, a_mark(rows[1]))
    assert await shown(queue) == ["req-3", "req-1"]
    assert await shown(queue, Show.RIGHT) == ["req-2"]
    assert await shown(queue, Show.ALL, "reply:acme") == ["req-2"]
    assert await shown(queue, Show.UNMARKED, "reply:acme") == []
    assert await shown(queue, route="' OR 1=1 --") == []


async def test_pages_follow_each_other_without_gaps(database: Database, queue: ReviewStore) -> None:
    await keep(database, *(a_row(number) for number in range(1, 2 * A_PAGE + 2)))
    found, before = [], None
    for size in (A_PAGE, A_PAGE, 1):
        rows, before = await queue.page(Chosen(), NOW, before)
        assert len(rows) == size
        found += [row.request_id for row in rows]
    assert before is None
    assert found == [f"req-{number}" for number in range(2 * A_PAGE + 1, 0, -1)]


async def test_one_goes_on_to_older_ones_and_then_to_the_newest(database: Database, queue: ReviewStore) -> None:
    rows = [a_row(number, route="ab"[number % 2]) for number in range(5)]
    ids = [row.captured_id for row in rows]
    await keep(database, *rows)
    assert await queue.beside(Chosen(), ids[2], NOW) == (ids[3], ids[1])
    assert await queue.beside(Chosen(), ids[4], NOW) == (None, ids[3])
    assert await queue.beside(Chosen(route="a"), ids[2], NOW) == (ids[4], ids[0])
    await say(database, a_mark(rows[1]), a_mark(rows[0]))
    assert await queue.next_unmarked(None, ids[2], NOW) == ids[3]
    assert await queue.next_unmarked("a", ids[2], NOW) == ids[4]
    await say(database, *(a_mark(row) for row in rows[2:]))
    assert await queue.next_unmarked(None, ids[2], NOW) is None


async def test_what_has_expired_is_neither_shown_nor_counted(database: Database, queue: ReviewStore) -> None:
    rows = [a_row(1, expires_at=NOW + MINUTE), a_row(2, expires_at=NOW + MINUTE), a_row(3), a_row(4, route="lone")]
    await keep(database, *rows)
    await say(database, a_mark(rows[0], label=Label.WRONG, correction=BETTER), a_mark(rows[2]))
    assert await queue.counts(NOW) == {"forum-reply": ReviewCount(3, 1, 1, 1), "lone": ReviewCount(1, 0, 0, 0)}
    later = NOW + 2 * MINUTE
    assert await queue.counts(later) == {"forum-reply": ReviewCount(1, 1, 0, 0), "lone": ReviewCount(1, 0, 0, 0)}
    assert await queue.find(rows[0].captured_id, later) is None
    assert [row.request_id for row in (await queue.page(Chosen(Show.ALL), later))[0]] == ["req-4", "req-3"]
    assert await queue.counts(NOW + 40 * DAY) == {}


async def test_of_an_empty_database_there_is_nothing(queue: ReviewStore) -> None:
    assert await queue.page(Chosen(), NOW) == ([], None)
    assert await queue.find(a_row().captured_id, NOW) is None
    assert await queue.counts(NOW) == {}


async def test_what_is_counted_is_what_is_marked(database: Database, queue: ReviewStore) -> None:
    rows = [a_row(number) for number in range(1, 6)]
    await keep(database, *rows)
    await say(
        database,
        a_mark(rows[0]),
        a_mark(rows[1], label=Label.WRONG),
        a_mark(rows[2], label=Label.WRONG, correction=BETTER),
        a_mark(rows[2], 2, label=Label.WRONG, correction=BETTER, comment="again"),
        a_mark(rows[3], label=None, comment="hm"),
    )
    (count,) = (await queue.counts(NOW)).values()
    assert count == ReviewCount(rows=5, right=1, wrong=2, corrected=1)
    assert count.marked == 3


SCOPES = {
    "of one route": (Scope(frozenset({"a"})), {"req-1", "req-2"}),
    "of two": (Scope(frozenset({"a", "b"})), {"req-1", "req-2", "req-3"}),
    "of one tenant": (Scope(tenant="acme"), {"req-4", "req-5"}),
    "of a route and a tenant": (Scope(frozenset({"b:acme"}), "acme"), {"req-4"}),
    "of no route": (Scope(frozenset()), set()),
    "of a route that nobody has": (Scope(frozenset({"' OR 1=1 --"})), set()),
    "of everything": (Scope(), {f"req-{number}" for number in range(1, 7)}),
}


async def test_what_is_out_of_scope_is_not_there(database: Database, subtests: pytest.Subtests) -> None:
    places = [("a", ""), ("a", ""), ("b", ""), ("b:acme", "acme"), ("c", "acme"), ("c", "hooli")]
    rows = [a_row(number, route=route, tenant=tenant) for number, (route, tenant) in enumerate(places, 1)]
    gone = [
        replace(row, captured_id=str(UUID(int=90 + at)), input_id=f"{at:x}", request_id=f"gone-{at}", expires_at=NOW)
        for at, row in enumerate(rows)
    ]
    await keep(database, *rows, *gone)
    await say(database, *(a_mark(row, at) for at, row in enumerate([*rows[1:4], rows[5], *gone])))
    for what, (scope, own) in SCOPES.items():
        with subtests.test(what):
            await holds(ReviewStore(database, scope), rows, own)


async def holds(queue: ReviewStore, rows: list[Captured], own: set[str]) -> None:
    """Whatever is asked of it, a queue knows these requests and no others."""
    page, _ = await queue.page(Chosen(Show.ALL), NOW)
    assert {row.request_id for row in page} == own
    assert {row.request_id for row in rows if await queue.find(row.captured_id, NOW)} == own
    ids = {each.captured_id for each in page}
    for row in rows:
        around = await queue.beside(Chosen(Show.ALL), row.captured_id, NOW)
        assert {*around, await queue.next_unmarked(None, row.captured_id, NOW)} - {None} <= ids
        of_route, _ = await queue.page(Chosen(Show.ALL, row.route), NOW)
        assert of_route == [each for each in page if each.route == row.route]
    counts = (await queue.counts(NOW)).values()
    assert sum(count.rows for count in counts) == len(own)
    assert sum(count.right for count in counts) == len(own & {"req-2", "req-3", "req-4", "req-6"})


async def test_marks_are_counted_of_one_tenant(database: Database) -> None:
    rows = [a_row(1, route="a", tenant="acme"), a_row(2, route="a", tenant="hooli"), a_row(3, route="b")]
    await keep(database, *rows)
    await say(database, *(a_mark(row, at) for at, row in enumerate(rows)))
    store = FeedbackStore(database)
    assert {route: count.right for route, count in (await store.counts()).items()} == {"a": 2, "b": 1}
    assert {route: count.right for route, count in (await store.counts("acme")).items()} == {"a": 1}
