"""What was captured is kept once and for a time, and goes everywhere when somebody wishes so."""

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import insert, select

from gateway.reasons import Role
from gateway.store.captured import Captured, CapturedStore, digest_of
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
    assert await kept.add(rows) == 3
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
    assert await kept.add(rows) == 3
    assert await kept.add(rows[:1]) == 0
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
    expected = {"captured": 2, "recordings": 3, "evaluation_answers": 2, "judgements": 2}
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


async def test_the_receipt_stays_proves_itself_and_names_nobody(
    database: Database, kept: CapturedStore, wishes: DeletionStore
) -> None:
    await kept.add([a_row(1)])
    receipt = await wishes.delete(deletion_id=RECEIPT, by="kim", now=NOW, user="jane")
    async with database.engine.connect() as connection:
        row = (await connection.execute(select(deletions))).one()._asdict()
    row = {str(column): value for column, value in row.items()}
    digest = row.pop("digest")
    assert digest == receipt.digest == hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).hexdigest()
    assert row["selector"] == receipt.selector == f"user:{JANE}"
    assert "jane" not in str(row)
    assert await wishes.earlier(user="jane") == {f"{1:016x}"}
    assert await wishes.earlier(request_id="jane") == frozenset()


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


def everything(path: Path) -> bytes:
    """The bytes of a SQLite file and of its journal."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))
