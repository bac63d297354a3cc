"""Promotions in the database: one a route, each change once, and versions, events and the audit along with it."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from example_promotions import a_canary
from example_routes import FINE_TUNE, a_primary, a_provider, a_route
from sqlalchemy import func, select

from gateway.execution.promotion_events import promotion_event
from gateway.policy.announcements import Event, Notice
from gateway.policy.promotion import Ending, Promotion, PromotionState, ended
from gateway.store.audit import CLI, AuditStore
from gateway.store.database import Database, alone_with
from gateway.store.promotions import PromotionStore, Telling
from gateway.store.states import StateStore
from gateway.store.tables import events, notices
from gateway.store.versions import VERSIONS, Registered, VersionStore
from tests.store.rows import START

NEXT, THIRD = "ft:next:acme::B", "ft:third:acme::C"
LATER, WEEK = START + timedelta(hours=1), START + timedelta(days=7)


@pytest.fixture
def store(database: Database) -> PromotionStore:
    return PromotionStore(database)


@pytest.fixture
def others(other_database: Database) -> PromotionStore:
    return PromotionStore(other_database)


def a_promotion(number: int = 2, *, minutes: int = 0, **fields: Any) -> Promotion:
    at = START + timedelta(minutes=minutes)
    models = {"number": number, "model": {2: NEXT, 3: THIRD}[number], "incumbent_model": FINE_TUNE}
    words = {"incumbent_base": "gpt-4o-mini-2024-07-18", "by": "ana@laptop", "reason": "ein Versuch für alle"}
    return a_canary(at, **models | words | {"expires_at": WEEK} | fields)


def grown(**fields: Any) -> dict[str, Any]:
    given = {
        "state": PromotionState.SERVING,
        "share": 1.0,
        "expires_at": WEEK,
        "now": LATER,
        "by": "bo",
        "reason": "ok",
    }
    return {**given, "by": "bo", "reason": "ok", **fields}


async def some_versions(database: Database) -> None:
    route = a_route(primary=a_primary(provider=a_provider()))
    versions = VersionStore(database)
    for model in (NEXT, THIRD):
        said = Registered(provider="here", model=model, origin="job", by="ana")
        await versions.register(route, said, START)


async def standings(database: Database) -> list[str]:
    return [version.status for version in await VersionStore(database).of_route("forum-reply")]


def announce(found: Any) -> list[Notice]:
    return [Notice(found[0].event_id, "ops", "{}", START)]


def an_event(promotion: Promotion) -> Event:
    return promotion_event(promotion, promotion.changed_at, by="ana@laptop", owner="support")


async def test_what_began_is_what_is_active_until_it_ends(store: PromotionStore, others: PromotionStore) -> None:
    promotion = a_promotion()
    assert await store.active() == {}
    assert await store.begin(promotion)
    assert await others.active() == {"forum-reply": promotion}
    assert await store.end(promotion, Ending.EXPIRED, LATER)
    assert await others.active() == {}
    assert await others.of_route("forum-reply") == [ended(promotion, Ending.EXPIRED, LATER)]


async def test_the_shared_states_name_the_active_ones(store: PromotionStore, other_database: Database) -> None:
    promotion = a_promotion()
    await store.begin(promotion)
    assert (await StateStore(other_database, "two").read(START)).promotions == {"forum-reply": promotion}


async def test_evidence_begins_anew_with_another_share_and_goes_on_with_another_end(store: PromotionStore) -> None:
    promotion = a_promotion()
    await store.begin(promotion)
    longer = grown(state=PromotionState.CANARY, share=0.05, expires_at=WEEK + timedelta(days=1))
    after = await store.change(promotion, **longer)
    assert after == replace(
        promotion, expires_at=WEEK + timedelta(days=1), by="bo", reason="ok", version=promotion.version + 1
    )
    more = await store.change(after, **grown(state=PromotionState.CANARY, share=0.2))
    assert more is not None
    assert (more.changed_at, more.share, more.version) == (LATER, 0.2, 3)
    assert await store.active() == {"forum-reply": more}


async def test_who_does_not_know_the_latest_changes_and_ends_nothing(
    store: PromotionStore, others: PromotionStore
) -> None:
    promotion = a_promotion()
    await store.begin(promotion)
    after = await store.change(promotion, **grown())
    assert after is not None
    assert await others.change(promotion, **grown(share=0.5, state=PromotionState.CANARY)) is None
    assert not await others.end(promotion, Ending.EVIDENCE, LATER)
    assert await store.active() == {"forum-reply": after}
    assert await others.end(after, Ending.ROLLED_BACK, LATER)
    assert not await store.end(after, Ending.EXPIRED, LATER)
    assert [each.ended_because for each in await store.of_route("forum-reply")] == [Ending.ROLLED_BACK]


async def test_of_two_that_begin_at_once_one_does(store: PromotionStore, others: PromotionStore) -> None:
    made = await asyncio.gather(store.begin(a_promotion(2)), others.begin(a_promotion(3)))
    assert sorted(made) == [False, True]
    assert len(await store.of_route("forum-reply")) == 1


async def test_what_versions_say_is_not_written_while_somebody_else_moves_them(
    store: PromotionStore, other_database: Database
) -> None:
    if other_database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    route = a_route(primary=a_primary(provider=a_provider()))
    async with other_database.engine.begin() as connection:
        await alone_with(connection, VERSIONS, "forum-reply")
        begins = asyncio.ensure_future(store.begin(a_promotion()))
        follows = asyncio.ensure_future(VersionStore(other_database).follow_routes(route, "ana", START))
        done, _ = await asyncio.wait((begins, follows), timeout=0.3)
        assert not done
    async with asyncio.timeout(10):
        assert await begins
        assert await follows


async def test_another_promotion_ends_the_one_that_is_named_and_no_other(
    store: PromotionStore, database: Database
) -> None:
    await some_versions(database)
    first, second = a_promotion(2), a_promotion(3, minutes=5)
    await store.begin(first)
    assert not await store.begin(second), "somebody else's would end unseen"
    assert not await store.begin(second, over=replace(first, version=9))
    assert await store.active() == {"forum-reply": first}
    assert await store.begin(second, over=first)
    assert await store.active() == {"forum-reply": second}
    assert (await store.of_route("forum-reply"))[1].ended_because is Ending.SUPERSEDED
    assert await standings(database) == ["serving", "candidate", "canary"]


async def test_what_cannot_begin_ends_nothing_either(store: PromotionStore) -> None:
    first = a_promotion(2)
    await store.begin(first)
    # The same id: whatever the reason, all of it happens or nothing.
    assert not await store.begin(first, over=first)
    assert await store.active() == {"forum-reply": first}


async def test_versions_follow_in_the_same_transaction(store: PromotionStore, database: Database) -> None:
    await some_versions(database)
    promotion = a_promotion()
    await store.begin(promotion)
    assert await standings(database) == ["serving", "canary", "candidate"]
    after = await store.change(promotion, **grown())
    assert after is not None
    assert await standings(database) == ["retired", "serving", "candidate"]
    await store.end(after, Ending.ROLLED_BACK, LATER)
    assert await standings(database) == ["serving", "retired", "candidate"]


async def test_of_a_route_one_version_serves_whichever_primary_the_promotion_began_over(
    store: PromotionStore, database: Database
) -> None:
    """A canary that was begun by another checkout, whose routes.yaml names v3."""
    await some_versions(database)
    begun = a_promotion(incumbent_model=THIRD)
    assert await store.begin(begun)
    assert await standings(database) == ["retired", "canary", "serving"]
    assert await store.end(begun, Ending.ROLLED_BACK, LATER)
    assert await standings(database) == ["retired", "candidate", "serving"]


async def test_a_canary_that_evidence_stopped_is_rejected(store: PromotionStore, database: Database) -> None:
    await some_versions(database)
    promotion = a_promotion()
    await store.begin(promotion)
    await store.end(promotion, Ending.EVIDENCE, LATER)
    assert await standings(database) == ["serving", "rejected", "candidate"]


async def test_events_messages_and_the_audit_tell_of_each_change_that_was_made_and_of_no_other(
    store: PromotionStore, others: PromotionStore, database: Database
) -> None:
    promotion = a_promotion()

    def told(now: Promotion) -> Telling:
        return Telling(an_event(now), announce, through=CLI, by="ana@laptop")

    assert await store.begin(promotion, told=told(promotion))
    assert not await others.begin(a_promotion(3), told=told(promotion))
    after = await store.change(promotion, **grown(), told=told(promotion))
    assert after is not None
    assert await others.change(promotion, **grown(), told=told(promotion)) is None
    last = LATER + timedelta(minutes=1)
    over = ended(after, Ending.ROLLED_BACK, last)
    assert await store.end(after, Ending.ROLLED_BACK, last, told=told(over))
    assert not await others.end(after, Ending.ROLLED_BACK, last, told=told(over))
    async with database.engine.connect() as connection:
        counted = [await connection.scalar(select(func.count()).select_from(table)) for table in (events, notices)]
    assert counted == [3, 3]
    rows = await AuditStore(database).latest(subject="forum-reply")
    assert [row.action for row in rows] == ["promotion_ended", "promotion_changed", "promoted"]
    assert rows[1].changes is not None
    assert rows[1].changes["share"] == (0.05, 1.0)
