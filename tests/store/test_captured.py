"""What was captured is kept once and for a time, and goes everywhere when somebody wishes so."""

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import insert, select

from gateway.reasons import Role
from gateway.store.captured import MOST_NAMES, Captured, CapturedStore, digest_of
from gateway.store.database import Database
from gateway.store.deletions import DeletionStore
from gateway.store.evaluations import EvaluationAnswer, EvaluationStore, Judgement
from gateway.store.recordings import Recording, RecordingStore
from gateway.store.tables_learning import captured, deletions

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
DAY = timedelta(days=1)
MODEL = ("sandbox", "ft:gpt-4o-mini-2024-07-18:acme:forum:A1")
RECEIPT = str(UUID(int=77))
JANE, KIM = digest_of("jane"), digest_of("kim")


@pytest.fixture
def kept(database: Database) -> CapturedStore:
    return CapturedStore(database)


@pytest.fixture
def wishes(database: Database) -> DeletionStore:
    return DeletionStore(database)


def a_row(number: int = 1, **fields: Any) -> Captured:
    given: dict[str, Any] = {
        "captured_id": str(UUID(int=number)),
        "route": "forum-reply",
        "tenant": "",
        "input_id": f"{number:016x}",
        "request_id": f"req-{number}",
        "user_digest": JANE,
        "role": Role.PRIMARY,
        "provider": MODEL[0],
        "model": MODEL[1],
        "prompt_version": None,
        "request": '{"messages":[{"role":"user","content":"schön, 値段?"}]}',
        "answer": '{"role":"assistant","content":"\\u0000 gern"}',
        "redacted": {"email": 2},
        "captured_at": NOW,
        "expires_at": NOW + 30 * DAY,
    }
    return Captured(**{**given, **fields})


def a_recording(number: int = 1, **fields: Any) -> Recording:
    own = {"route": "forum-reply", "provider": MODEL[0], "model": MODEL[1], "input_id": f"{number:016x}", "sample": 0}
    said = {"tenant": "", "request": "{}", "answer": "{}", "source": "captured", "recorded_at": NOW}
    return Recording(**{**own, **said, **fields})


async def evaluate(database: Database, number: int, route: str = "forum-reply") -> None:
    store, own = EvaluationStore(database), (route, "sandbox", "gpt-6-luna", "abc", f"{number:016x}")
    await store.keep_answers([EvaluationAnswer(*own, "{}", str(UUID(int=number)), 1, 0, 1, 5, 2.0, None)])
    await store.keep_judgements([Judgement(*own, "sandbox gpt-6", 0.0, False, NOW)])


async def test_rows_come_back_as_they_were_in_order_of_capture(kept: CapturedStore) -> None:
    rows = [a_row(3), a_row(1, role=Role.FALLBACK, prompt_version="abc", user_digest=None), a_row(2, redacted={})]
    assert await kept.add(rows) == ["kept"] * 3
    assert await kept.of_route("forum-reply", None) == sorted(rows, key=lambda row: row.captured_id)


async def test_one_input_is_kept_once_for_each_route_and_tenant(kept: CapturedStore) -> None:
    same = {"input_id": "00000000000000aa"}
    rows = [
        a_row(1, **same),
        a_row(2, **same),
        a_row(3, **same, tenant="acme"),
        a_row(4, **same, route="triage"),
        a_row(5, **same, tenant="acme"),
    ]
    assert await kept.add(rows) == ["kept", "duplicate", "kept", "kept", "duplicate"]
    assert await kept.add(rows[:1]) == ["duplicate"]
    assert [row.request_id for row in await kept.of_route("forum-reply", None)] == ["req-1"]
    assert [row.request_id for row in await kept.of_route("forum-reply", "acme")] == ["req-3"]


async def test_counts_tell_rows_and_ages_by_route(kept: CapturedStore) -> None:
    assert await kept.counts() == {}
    await kept.add([a_row(1), a_row(2, captured_at=NOW + DAY), a_row(3, route="triage")])
    counts = await kept.counts()
    assert [(name, c.rows, c.oldest, c.newest) for name, c in counts.items()] == [
        ("forum-reply", 2, NOW, NOW + DAY),
        ("triage", 1, NOW, NOW),
    ]


async def test_a_row_goes_when_its_time_is_over_and_not_before(kept: CapturedStore) -> None:
    await kept.add([a_row(1, expires_at=NOW + DAY), a_row(2, expires_at=NOW + 2 * DAY)])
    assert await kept.purge(NOW + DAY - timedelta(microseconds=1)) == 0
    assert await kept.purge(NOW + DAY) == 1
    assert [row.request_id for row in await kept.of_route("forum-reply", None)] == ["req-2"]


async def test_deleting_a_user_empties_every_table_of_their_inputs_alone(
    database: Database, kept: CapturedStore, wishes: DeletionStore
) -> None:
    recordings = RecordingStore(database)
    await kept.add([a_row(1), a_row(2), a_row(3, user_digest=KIM), a_row(4, user_digest=None)])
    # The second was captured long ago: only its recording still says whose it is. Samples carry it or not.
    await recordings.keep([a_recording(1, user_digest=JANE), a_recording(1, sample=1)])
    await recordings.keep([a_recording(5, user_digest=JANE), a_recording(3, user_digest=KIM)])
    for number in (1, 3, 5):
        await evaluate(database, number)
    await evaluate(database, 1, route="triage")
    expected = {"captured": 2, "captured_again": 0, "recordings": 3, "feedback": 0}
    expected |= {"evaluation_answers": 2, "judgements": 2}
    assert await wishes.find(user="jane") == expected

    receipt = await wishes.delete(deletion_id=RECEIPT, by="kim@desk", now=NOW, user="jane")

    assert receipt.counts == expected
    assert receipt.input_ids == tuple(f"{number:016x}" for number in (1, 2, 5))
    assert receipt.left == 0
    assert await wishes.find(user="jane") == dict.fromkeys(expected, 0)
    assert [row.request_id for row in await kept.of_route("forum-reply", None)] == ["req-3", "req-4"]
    assert [row.input_id for row in await recordings.of_route("forum-reply", *MODEL)] == [f"{3:016x}"]
    evaluations = EvaluationStore(database)
    theirs = await evaluations.answers("forum-reply", "sandbox", "gpt-6-luna", "abc")
    assert [row.input_id for row in theirs] == [f"{3:016x}"]
    assert len(await evaluations.answers("triage", "sandbox", "gpt-6-luna", "abc")) == 1
    assert len(await evaluations.judged("forum-reply", "sandbox", "gpt-6-luna", "abc", "sandbox gpt-6")) == 1


async def test_deleting_a_request_takes_its_input_from_other_users_as_well(
    kept: CapturedStore, wishes: DeletionStore, database: Database
) -> None:
    await kept.add([a_row(1), a_row(2)])
    await kept.add([a_row(3, input_id=f"{1:016x}", tenant="acme", user_digest=KIM)])
    receipt = await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, request_id="req-1")
    assert (receipt.counts["captured"], receipt.left) == (2, 0)
    assert await kept.of_route("forum-reply", "acme") == []


WISHES = {
    "the user who asked first": {"user": "kim"},
    "a user who asked the same later": {"user": "jane"},
    "the request that was first": {"request_id": "req-1"},
    "a request of nobody that asked the same": {"request_id": "req-3"},
}


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
async def test_an_input_goes_at_the_wish_of_anybody_who_asked_it(
    kept: CapturedStore, wishes: DeletionStore, wish: dict[str, str]
) -> None:
    same = {"input_id": "00000000000000aa"}
    asked = [a_row(1, **same, user_digest=KIM), a_row(2, **same), a_row(3, **same, user_digest=None), a_row(4)]
    assert await kept.add(asked) == ["kept", "duplicate", "duplicate", "kept"]
    wished = wish.get("user") == "jane"
    receipt = await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, **wish)
    assert (receipt.counts["captured"], receipt.counts["captured_again"], receipt.left) == (1 + wished, 2, 0)
    assert [row.request_id for row in await kept.of_route("forum-reply", None)] == ([] if wished else ["req-4"])
    assert not any((await wishes.find(**wish)).values())


async def test_who_else_asked_is_known_as_long_as_the_row_or_a_recording_of_it_is_kept(
    database: Database, kept: CapturedStore, wishes: DeletionStore
) -> None:
    for number in (1, 2):
        same = {"input_id": f"{number:016x}", "expires_at": NOW + DAY}
        await kept.add([a_row(number, **same, user_digest=KIM), a_row(number + 10, **same)])
    await RecordingStore(database).keep([a_recording(1, user_digest=KIM)])
    assert await kept.purge(NOW + DAY) == 2
    found = await wishes.find(user="jane")
    assert (found["captured"], found["captured_again"], found["recordings"]) == (0, 1, 1)


@pytest.mark.rig
async def test_an_input_that_a_thousand_others_asked_counts_as_everybodys(
    kept: CapturedStore, wishes: DeletionStore
) -> None:
    rows = [a_row(number, input_id="00000000000000aa", user_digest=KIM) for number in range(1, MOST_NAMES + 2)]
    await kept.add(rows)
    assert not any((await wishes.find(user="jane")).values())
    await kept.add([a_row(5_000 + number, input_id="00000000000000aa") for number in range(3)])
    found = await wishes.find(user="jane")
    assert (found["captured"], found["captured_again"]) == (1, MOST_NAMES + 1)
    assert (await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, user="jane")).left == 0
    assert await kept.of_route("forum-reply", None) == []


MICROSECOND = timedelta(microseconds=1)
LATE = {
    "of the user, asked before": ({"user": "jane"}, NOW, "deleted"),
    "of the user, asked at that very moment": ({"user": "jane"}, NOW + MICROSECOND, "deleted"),
    "of the user, asked since": ({"user": "jane"}, NOW + 2 * MICROSECOND, "kept"),
    "of the request": ({"request_id": "req-1"}, NOW, "deleted"),
    "of another user": ({"user": "kim"}, NOW, "kept"),
}


@pytest.mark.parametrize(("wish", "asked_at", "becomes"), LATE.values(), ids=LATE)
async def test_what_was_asked_before_a_deletion_is_not_kept_after_it(
    kept: CapturedStore, wishes: DeletionStore, wish: dict[str, str], asked_at: datetime, becomes: str
) -> None:
    await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW + MICROSECOND, **wish)
    row = a_row(1, captured_at=asked_at)
    assert await kept.add([row]) == [becomes]
    assert await kept.of_route("forum-reply", None) == ([row] if becomes == "kept" else [])


async def _receipt_in(database: Database) -> tuple[dict[str, Any], str]:
    """The only receipt's columns that are set, and its digest."""
    async with database.engine.connect() as connection:
        row = (await connection.execute(select(deletions))).one()._asdict()
    known = {str(column): value for column, value in row.items() if value is not None}
    return known, known.pop("digest")


async def test_a_receipt_proves_what_could_not_be_reached_as_well(
    database: Database, kept: CapturedStore, wishes: DeletionStore
) -> None:
    await kept.add([a_row(1)])
    first = await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, user="jane")
    left = {"training_files": [{"file": "file-1", "rows": 1}], "versions": []}
    receipt = await wishes.note(first, left)
    row, digest = await _receipt_in(database)
    assert (row["out_of_reach"], receipt.out_of_reach) == (left, left)
    assert digest == receipt.digest == hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).hexdigest()
    assert digest != first.digest


async def test_the_receipt_stays_proves_itself_and_names_nobody(
    database: Database, kept: CapturedStore, wishes: DeletionStore
) -> None:
    await kept.add([a_row(1)])
    receipt = await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, user="jane")
    row, digest = await _receipt_in(database)
    assert digest == receipt.digest == hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).hexdigest()
    assert "out_of_reach" not in row
    assert row["selector"] == receipt.selector == f"user:{JANE}"
    assert "jane" not in str(row)
    assert await wishes.earlier(user="jane") == {f"{1:016x}"}
    assert await wishes.earlier(request_id="jane") == frozenset()


@pytest.mark.rig
async def test_ten_thousand_inputs_are_deleted_at_once(database: Database, wishes: DeletionStore) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(insert(captured), [asdict(a_row(number)) for number in range(1, 10_502)])
    receipt = await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, user="jane")
    assert (receipt.counts["captured"], len(receipt.input_ids), receipt.left) == (10_501, 10_501, 0)


@pytest.mark.parametrize("named", [{}, {"user": "jane", "request_id": "req-1"}], ids=["nobody", "both"])
async def test_exactly_one_name_is_needed(wishes: DeletionStore, named: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="and not both"):
        await wishes.find(**named)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_what_is_deleted_or_past_its_time_leaves_the_bytes_of_the_sqlite_file(
    url: str, path: Path, kept: CapturedStore, wishes: DeletionStore
) -> None:
    secrets = [f"{word} " * 600 for word in ("lavender", "marigold", "hyacinth")]
    for number, secret in enumerate(secrets, 1):
        expires = NOW + (DAY if number == 2 else 30 * DAY)
        await kept.add([a_row(number, request=secret, expires_at=expires, user_digest=(JANE, KIM, KIM)[number - 1])])
    assert [word in everything(path) for word in (b"lavender", b"marigold", b"hyacinth")] == [True] * 3
    await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, user="jane")
    assert [word in everything(path) for word in (b"lavender", b"marigold", b"hyacinth")] == [False, True, True]
    await kept.purge(NOW + DAY)
    assert [word in everything(path) for word in (b"lavender", b"marigold", b"hyacinth")] == [False, False, True]


@pytest.mark.rig
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_while_somebody_reads_the_receipt_says_that_the_log_still_holds_the_text(
    url: str, path: Path, kept: CapturedStore, wishes: DeletionStore
) -> None:
    await kept.add([a_row(1, request="lavender " * 600)])
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM captured").fetchone() == (1,)
        receipt = await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, user="jane")
        assert (receipt.is_in_log, receipt.left, b"lavender" in everything(path)) == (True, 0, True)
    again = await wishes.delete(deletion_id=str(UUID(int=78)), by="kim", now=NOW, user="jane")
    assert (again.is_in_log, b"lavender" in everything(path)) == (False, False)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_deletion_waits_for_a_reader_who_is_done_soon(
    url: str, path: Path, kept: CapturedStore, wishes: DeletionStore
) -> None:
    await kept.add([a_row(1, request="lavender " * 600)])
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM captured").fetchone()
        deleting = asyncio.create_task(wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, user="jane"))
        async with asyncio.timeout(20):
            await gone(wishes)
        reader.execute("COMMIT")
        assert not (await deleting).is_in_log
    assert b"lavender" not in everything(path)


async def gone(wishes: DeletionStore) -> None:
    while (await wishes.find(user="jane"))["captured"]:
        pass


def everything(path: Path) -> bytes:
    """The bytes of a SQLite file and of its journal."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))
