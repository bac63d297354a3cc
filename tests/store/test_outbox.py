import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from gateway.policy.announcements import Notice
from gateway.store.database import Database
from gateway.store.outbox import Outbox
from gateway.store.tables import notices

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LEASE = timedelta(seconds=60)


def a_notice(number: int = 1, webhook: str = "ops", at: datetime = NOW) -> Notice:
    return Notice(str(UUID(int=number)), webhook, '{"text": "ü"}', at)


async def put(database: Database, *added: Notice) -> Outbox:
    outbox = Outbox(database)
    async with database.engine.begin() as connection:
        await outbox.add(connection, added)
    return outbox


async def claimed(outbox: Outbox, now: datetime = NOW, limit: int = 10, busy: tuple[str, ...] = ()) -> list[Notice]:
    return await outbox.claim(now, lease_s=LEASE.total_seconds(), limit=limit, busy=busy)


async def test_a_message_is_claimed_once_until_its_lease_ends(database: Database) -> None:
    outbox = await put(database, a_notice())
    assert await claimed(outbox, NOW - timedelta(seconds=1)) == []
    [first] = await claimed(outbox)
    assert first == Notice(str(UUID(int=1)), "ops", '{"text": "ü"}', NOW, tries=1)
    assert await claimed(outbox, NOW + LEASE - timedelta(seconds=1)) == []
    [second] = await claimed(outbox, NOW + LEASE)
    assert (second.notice_id, second.tries) == (first.notice_id, 2)


async def test_the_longest_due_come_first_and_no_more_than_asked_for(database: Database) -> None:
    late, early, middle = (a_notice(n, at=NOW - timedelta(minutes=m)) for n, m in ((1, 1), (2, 3), (3, 2)))
    outbox = await put(database, late, early, middle)
    assert [notice.notice_id for notice in await claimed(outbox, limit=2)] == [early.notice_id, middle.notice_id]
    assert [notice.notice_id for notice in await claimed(outbox, limit=2)] == [late.notice_id]


async def test_busy_webhooks_are_left_alone(database: Database) -> None:
    outbox = await put(database, a_notice(1, "slow"), a_notice(2, "ops"))
    assert [notice.webhook for notice in await claimed(outbox, busy=("slow",))] == ["ops"]
    assert [notice.webhook for notice in await claimed(outbox)] == ["slow"]


async def test_delivered_is_over(database: Database) -> None:
    outbox = await put(database, a_notice())
    [notice] = await claimed(outbox)
    assert await outbox.pending() == (1, NOW)
    await outbox.delivered(notice, NOW + timedelta(seconds=2))
    assert await outbox.pending() == (0, None)
    assert await claimed(outbox, NOW + timedelta(days=1)) == []


async def test_failed_is_due_again_or_never(database: Database) -> None:
    outbox = await put(database, a_notice(1), a_notice(2))
    again, never = await claimed(outbox)
    await outbox.failed(again, "answered 500", NOW + timedelta(seconds=5))
    await outbox.failed(never, "answered 410", None)
    assert await outbox.pending() == (1, NOW)
    assert await claimed(outbox, NOW + timedelta(seconds=4)) == []
    assert [notice.tries for notice in await claimed(outbox, NOW + timedelta(seconds=5))] == [2]
    async with database.engine.connect() as connection:
        kept = (await connection.execute(select(notices.c.last_error).order_by(notices.c.notice_id))).scalars().all()
    assert kept == ["answered 500", "answered 410"]


async def test_who_slept_through_the_lease_cannot_bring_a_message_back(database: Database) -> None:
    outbox = await put(database, a_notice())
    [asleep] = await claimed(outbox)
    [awake] = await claimed(outbox, NOW + LEASE)
    await outbox.failed(asleep, "late", NOW)
    assert await claimed(outbox, NOW + LEASE) == []
    await outbox.delivered(awake, NOW + LEASE)
    await outbox.failed(asleep, "late", NOW)
    await outbox.failed(awake, "late", NOW)
    assert await outbox.pending() == (0, None)


async def test_a_message_that_did_arrive_is_over_whoever_holds_the_lease(database: Database) -> None:
    outbox = await put(database, a_notice())
    [asleep] = await claimed(outbox)
    await claimed(outbox, NOW + LEASE)
    await outbox.delivered(asleep, NOW + LEASE)
    assert await outbox.pending() == (0, None)


async def test_nothing_is_kept_of_a_transaction_that_fails(database: Database) -> None:
    outbox = Outbox(database)
    async with database.engine.connect() as connection:
        await outbox.add(connection, [a_notice()])
        await connection.rollback()
    assert await outbox.pending() == (0, None)


async def test_two_replicas_that_race_share_the_messages(database: Database, other_database: Database) -> None:
    await put(database, *(a_notice(number) for number in range(40)))
    replicas = (database, other_database, database, other_database)
    taken: list[Notice] = []
    while batches := [
        batch for batch in await asyncio.gather(*(claimed(Outbox(each), limit=4) for each in replicas)) if batch
    ]:
        taken.extend(notice for batch in batches for notice in batch)
    assert sorted(notice.notice_id for notice in taken) == [str(UUID(int=number)) for number in range(40)]
    assert {notice.tries for notice in taken} == {1}
