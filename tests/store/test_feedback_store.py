"""Marks are kept as they were given; of those on one input the latest that is a row counts, and a repetition never."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from gateway.policy.splits import Split
from gateway.reasons import Label, Role
from gateway.store.captured import Captured, CapturedStore, digest_of
from gateway.store.captured_requests import CapturedRequests
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.deletions import DeletionStore
from gateway.store.feedback import Feedback, FeedbackCount, FeedbackStore
from gateway.store.traffic import first_id

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
REQUEST = '{"messages":[{"role":"user","content":"schön, 値段?"}]}'
BETTER = '{"role":"assistant","content":"\\u0000 besser"}'
GIVEN = '{"role":"assistant","content":"gern"}'
RECEIPT = str(UUID(int=77))
ROW = {"input_id": f"{1:016x}", "split": Split.TRAIN, "request": REQUEST, "answer": GIVEN}
CORRECTION = {"label": Label.WRONG, "correction": BETTER, **ROW}
RIGHT = {"label": Label.RIGHT, **ROW}
WRONG = {"label": Label.WRONG, "input_id": f"{1:016x}", "split": Split.TRAIN}


@pytest.fixture
def marks(database: Database) -> FeedbackStore:
    return FeedbackStore(database)


def a_mark(number: int = 1, **fields: Any) -> Feedback:
    given: dict[str, Any] = {
        "feedback_id": str(UUID(int=UUID(first_id(NOW + number * SECOND)).int + number)),
        "route": "forum-reply",
        "tenant": "",
        "request_id": f"req-{number}",
        "source": "api",
        "by": "forum",
        "given_at": NOW + number * SECOND,
    }
    return Feedback(**{**given, **fields})


async def test_marks_come_back_as_they_were_in_order_of_time(marks: FeedbackStore) -> None:
    whole = a_mark(
        1,
        **CORRECTION,
        score=0.25,
        comment="too curt — 値",
        role=Role.FALLBACK,
        provider="sandbox",
        model="gpt-6-luna",
        prompt_version="abc",
        user_digest=digest_of("jane"),
        redacted={"email": 2},
    )
    bare = a_mark(2, label=Label.RIGHT)
    assert [await marks.add(mark) for mark in (bare, whole)] == ["kept", "kept"]
    assert await marks.history("forum-reply", None) == [whole, bare]
    assert await marks.latest_of(whole) == whole


@pytest.mark.parametrize(
    ("later", "counting"),
    [
        pytest.param(a_mark(2, **CORRECTION), [2], id="a later correction replaces the one before"),
        pytest.param(a_mark(2, **RIGHT), [2], id="right, of a later answer, replaces a correction"),
        pytest.param(a_mark(2, **WRONG), [1], id="wrong without a better answer leaves the correction"),
        pytest.param(a_mark(2, score=0.1, input_id=ROW["input_id"]), [1], id="a score replaces nothing"),
        pytest.param(a_mark(2, label=Label.RIGHT, input_id=ROW["input_id"]), [1], id="right without texts is no row"),
        pytest.param(a_mark(2, **{**CORRECTION, "input_id": f"{2:016x}"}), [1, 2], id="another input is another row"),
        pytest.param(a_mark(2, **CORRECTION, tenant="acme"), [1], id="another tenant's mark is another's"),
        pytest.param(a_mark(2, **CORRECTION, route="triage"), [1], id="another route's mark is another's"),
    ],
)
async def test_of_an_inputs_marks_the_latest_row_counts(
    marks: FeedbackStore, later: Feedback, counting: list[int]
) -> None:
    for mark in (later, a_mark(1, **CORRECTION)):
        await marks.add(mark)
    found = await marks.counting("forum-reply", None)
    assert [UUID(mark.feedback_id).int % 2**16 for mark in found] == counting


OURS = {"provider": "openai", "model": "ft:ours"}


@pytest.mark.parametrize(
    ("wrong", "counting"),
    [
        pytest.param(a_mark(2, **WRONG, **OURS), [], id="wrong takes back that the model's answer is right"),
        pytest.param(a_mark(2, **WRONG), [], id="so does wrong of nobody knows whose answer"),
        pytest.param(a_mark(2, **WRONG, provider="openai", model="gpt"), [1], id="not what is said of another model"),
        pytest.param(a_mark(2, **WRONG, provider="azure", model="ft:ours"), [1], id="nor of another provider's"),
    ],
)
async def test_wrong_takes_an_approval_back(marks: FeedbackStore, wrong: Feedback, counting: list[int]) -> None:
    for mark in (a_mark(1, **RIGHT, **OURS), wrong):
        await marks.add(mark)
    found = await marks.counting("forum-reply", None)
    assert [UUID(mark.feedback_id).int % 2**16 for mark in found] == counting


async def test_a_repetition_is_kept_once_and_another_word_is_not_one(marks: FeedbackStore) -> None:
    same = {**CORRECTION, "request_id": "req-1"}
    said = [
        (a_mark(1, **same), "kept"),
        (a_mark(2, **same), "repeated"),
        (a_mark(3, **same, by="review"), "kept"),
        (a_mark(4, **same), "kept"),
        (a_mark(5, **{**same, "correction": GIVEN}), "kept"),
        (a_mark(6, **{**same, "tenant": "acme"}), "kept"),
        (a_mark(7, **{**same, "route": "triage"}), "kept"),
        (a_mark(8, **{**same, "tenant": "acme"}), "repeated"),
    ]
    assert [await marks.add(mark) for mark, _ in said] == [added for _, added in said]
    assert [mark.feedback_id[-1] for mark in await marks.history("forum-reply", None)] == ["1", "3", "4", "5"]


async def test_one_of_many_equal_marks_that_come_at_once_is_kept(
    marks: FeedbackStore, other_database: Database
) -> None:
    stores = (marks, FeedbackStore(other_database))
    equal = [a_mark(number, **{**CORRECTION, "request_id": "req-1"}) for number in range(1, 9)]
    added = await asyncio.gather(*(in_the_end(stores[number % 2], mark) for number, mark in enumerate(equal)))
    assert sorted(added) == ["kept", *["repeated"] * 7]
    assert len(await marks.history("forum-reply", None)) == 1


async def in_the_end(store: FeedbackStore, mark: Feedback) -> str:
    """Add a mark, again where SQLite's one writer was another for longer than a second."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                return await store.add(mark)


async def test_a_mark_is_not_kept_once_its_user_or_request_was_deleted(database: Database) -> None:
    marks, wishes = FeedbackStore(database), DeletionStore(database)
    await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW + 2 * SECOND, user="jane")
    await wishes.delete(deletion_id=str(UUID(int=78)), by="kim", now=NOW + 4 * SECOND, request_id="req-4")
    jane = {"user_digest": digest_of("jane")}
    given = [a_mark(1, **jane), a_mark(2, **jane), a_mark(3, **jane), a_mark(4), a_mark(5, request_id="req-4")]
    assert [await marks.add(mark) for mark in given] == ["deleted", "deleted", "kept", "deleted", "kept"]


async def test_counts_tell_marks_and_the_rows_that_count(marks: FeedbackStore) -> None:
    assert await marks.counts() == {}
    held_out = {"input_id": f"{9:016x}", "split": Split.EVALUATION}
    for mark in (
        a_mark(1, **CORRECTION),
        a_mark(2, **CORRECTION),
        a_mark(3, **WRONG),
        a_mark(4, **{**RIGHT, **held_out}),
        a_mark(5, score=0.5),
        a_mark(6, **{**RIGHT, **held_out, "tenant": "acme"}),
        a_mark(7, label=Label.RIGHT, route="triage"),
    ):
        await marks.add(mark)
    assert await marks.counts() == {
        "forum-reply": FeedbackCount(right=2, wrong=3, corrections=2, train=1, evaluation=2),
        "triage": FeedbackCount(right=1, wrong=0, corrections=0, train=0, evaluation=0),
    }


async def test_marks_are_found_by_route_tenant_and_request(marks: FeedbackStore) -> None:
    same = {"request_id": "req-1"}
    given = [
        a_mark(1, **same, score=0.5),
        a_mark(2, **same, label=Label.RIGHT),
        a_mark(3, **same, tenant="acme"),
        a_mark(4, **same, route="triage"),
        a_mark(5),
    ]
    for mark in given:
        await marks.add(mark)
    found = await marks.marked(["req-1", "req-77", *(f"none-{number}" for number in range(6_000))])
    assert found == {
        ("forum-reply", "", "req-1"): given[1],
        ("forum-reply", "acme", "req-1"): given[2],
        ("triage", "", "req-1"): given[3],
    }


async def test_since_an_instant_every_tenants_marks_without_their_texts(marks: FeedbackStore) -> None:
    for mark in (a_mark(1, **CORRECTION), a_mark(2, **CORRECTION, comment="no"), a_mark(3, tenant="acme")):
        await marks.add(mark)
    found = await marks.since("forum-reply", NOW + 2 * SECOND)
    assert [mark.request_id for mark in found] == ["req-2", "req-3"]
    assert (found[0].label, found[0].split) == (Label.WRONG, Split.TRAIN)
    assert (found[0].correction, found[0].comment, found[0].request, found[0].answer) == (None,) * 4


async def test_deleting_takes_marks_by_user_by_request_and_by_input(database: Database) -> None:
    marks, wishes = FeedbackStore(database), DeletionStore(database)
    jane, kim = {"user_digest": digest_of("jane")}, {"user_digest": digest_of("kim")}
    await CapturedStore(database).add([captured_before(NOW, **jane)])
    for mark in (
        a_mark(1, **CORRECTION, **jane),
        a_mark(2, **CORRECTION, **kim),  # The same input: the same text.
        a_mark(3, comment="nobody knows what was asked", **jane),
        a_mark(4, **{**CORRECTION, "input_id": f"{4:016x}"}, **kim),
        a_mark(5, **CORRECTION, route="triage", **kim),
        a_mark(6, comment="of a request"),
    ):
        await marks.add(mark)
    counts = {"captured": 1, "captured_again": 0, "recordings": 0, "feedback": 3}
    counts |= {"evaluation_answers": 0, "judgements": 0}
    assert await wishes.find(user="jane") == counts
    receipt = await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, user="jane")
    assert (receipt.counts, receipt.input_ids, receipt.left) == (counts, (f"{1:016x}",), 0)
    assert [mark.request_id for mark in await marks.history("forum-reply", None)] == ["req-4", "req-6"]
    assert len(await marks.history("triage", None)) == 1
    assert (await wishes.find(request_id="req-6"))["feedback"] == 1
    gone = await wishes.delete(deletion_id=str(UUID(int=78)), by="kim", now=NOW, request_id="req-6")
    assert (gone.counts["feedback"], gone.input_ids, gone.left) == (1, (), 0)
    assert not any((await wishes.find(request_id="req-6")).values())


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_what_was_said_leaves_the_bytes_of_the_sqlite_file(
    url: str, path: Path, database: Database, marks: FeedbackStore
) -> None:
    words = ("lavender", "marigold", "hyacinth", "snowdrop")
    texts = dict(zip(("comment", "correction", "request", "answer"), (f"{word} " * 600 for word in words), strict=True))
    await marks.add(a_mark(1, **{**CORRECTION, **texts}, user_digest=digest_of("jane")))
    assert [word.encode() in everything(path) for word in words] == [True] * 4
    await DeletionStore(database).delete(deletion_id=RECEIPT, by="kim", now=NOW, user="jane")
    assert [word.encode() in everything(path) for word in words] == [False] * 4


def everything(path: Path) -> bytes:
    """The bytes of a SQLite file and of its journal."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def captured_before(at: datetime, **fields: Any) -> Captured:
    """What the first input's request was captured as."""
    return Captured(
        captured_id=str(UUID(int=1)),
        route="forum-reply",
        tenant="",
        input_id=f"{1:016x}",
        request_id="req-1",
        role=Role.PRIMARY,
        provider="sandbox",
        model="ft:ours",
        prompt_version=None,
        request=REQUEST,
        answer=GIVEN,
        redacted={},
        captured_at=at - SECOND,
        expires_at=at + timedelta(days=30),
        **{"user_digest": None, **fields},
    )


async def test_what_a_request_id_stands_for_is_found_with_its_own_answer_or_without(database: Database) -> None:
    first = captured_before(NOW)
    same = {"captured_id": str(UUID(int=2)), "request_id": "req-2", "user_digest": digest_of("kim")}
    others = [
        replace(first, tenant="acme", captured_id=str(UUID(int=3))),
        replace(first, route="triage", captured_id=str(UUID(int=4))),
    ]
    assert await CapturedStore(database).add([first, replace(first, **same), *others]) == [
        *("kept", "duplicate", "kept", "kept")
    ]
    requests = CapturedRequests(database)
    found = await requests.of("req-1")
    assert [(row.route, row.tenant, row.answer) for row in found] == [
        ("triage", "", GIVEN), ("forum-reply", "acme", GIVEN), ("forum-reply", "", GIVEN)
    ]  # fmt: skip
    (again,) = await requests.of("req-2")
    assert (again.route, again.tenant, again.input_id, again.request) == ("forum-reply", "", f"{1:016x}", REQUEST)
    assert (again.user_digest, again.answer, again.role, again.model) == (digest_of("kim"), None, None, None)
    assert await requests.of("req-77") == []


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_request_id_is_looked_for_by_an_index_wherever_it_may_be(database: Database) -> None:
    """A mark looks up to eight times, and a million requests may have asked what is kept already."""
    plans: list[str] = []

    def explain(connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        if sql.startswith("SELECT"):
            plans.extend(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters))

    event.listen(database.engine.sync_engine, "after_cursor_execute", explain)
    await CapturedRequests(database).of("req-1")
    read = [plan for plan in plans if not plan.startswith("USE TEMP")]
    assert read and all(plan.startswith("SEARCH") for plan in read), read
