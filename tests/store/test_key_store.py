import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fake_clock import FakeClock

from gateway.config.callers import Budget, Caller, KeyRole
from gateway.errors import Conflict, NotFound
from gateway.store.audit import AuditStore, audit_row
from gateway.store.database import Database
from gateway.store.keys import KeyRow, KeyStore

FORUM = Caller(
    id="key_abcd1234",
    name="forum-app",
    role=KeyRole.CALLER,
    owner="forum@acme.example",
    team="forum",
    tags={"tenant": "acme"},
    routes=("forum-*", "ticket-triage"),
    pins=True,
    residency="eu",
    expires_at=datetime(2027, 6, 1, tzinfo=UTC),
    budget=Budget(5_000_000_000, 100_000_000_000, 1_000_000_000_000),
    requests_per_minute=600,
    tokens_per_minute=200_000,
    max_output_tokens=4096,
    capture=True,
)
BARE = Caller("key_00000000", "bare")
DAY = timedelta(days=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def key_store(database: Database, clock: FakeClock) -> KeyStore:
    return KeyStore(database, clock)


@pytest.fixture
def other_store(other_database: Database, clock: FakeClock) -> KeyStore:
    return KeyStore(other_database, clock)


async def create(store: KeyStore, caller: Caller = FORUM, digest: str = "d0") -> KeyRow:
    return await store.create(caller, digest, by="admin", through="api")


@pytest.mark.parametrize("caller", [FORUM, BARE], ids=["that has everything", "that has nothing but a name"])
async def test_a_key_comes_back_as_it_was_created(key_store: KeyStore, clock: FakeClock, caller: Caller) -> None:
    created = await create(key_store, caller)

    assert created == KeyRow(caller, "d0", None, None, clock.now(), "admin", None, 1)
    assert await key_store.find(caller.id) == created
    assert await key_store.all() == [created]
    assert await key_store.find("key_ffffffff") is None


async def test_every_change_of_any_key_has_a_number_of_its_own(key_store: KeyStore) -> None:
    versions = [await key_store.version()]
    for change in (
        create(key_store),
        create(key_store, BARE, "d1"),
        key_store.change(BARE.id, lambda caller: replace(caller, team="forum"), by="admin", through="api"),
        key_store.rotate(FORUM.id, "d2", grace=DAY, by="admin", through="cli"),
        key_store.revoke(BARE.id, by="admin", through="cli"),
    ):
        assert (await change).version == await key_store.version()
        versions.append(await key_store.version())

    assert versions == [0, 1, 2, 3, 4, 5]


async def test_changes_of_two_replicas_at_once_get_two_numbers(key_store: KeyStore, other_store: KeyStore) -> None:
    both = (("a", key_store), ("b", other_store))
    rows: list[KeyRow] = []
    for n in range(6):
        pair = (create(store, Caller(f"key_{side}{n:07}", f"{side}-{n}"), f"{side}{n}") for side, store in both)
        rows += await asyncio.gather(*pair)

    assert sorted(row.version for row in rows) == list(range(1, 13))


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((Caller("key_zzzzzzzz", "forum-app"), "d9"), id="a name"),
        pytest.param((Caller(FORUM.id, "another"), "d9"), id="an id"),
        pytest.param((Caller("key_zzzzzzzz", "another"), "d0"), id="a digest"),
    ],
)
async def test_what_is_taken_is_a_conflict_and_changes_nothing(
    key_store: KeyStore, database: Database, second: tuple[Caller, str]
) -> None:
    await create(key_store)

    with pytest.raises(Conflict, match="already"):
        await create(key_store, *second)

    assert [row.caller for row in await key_store.all()] == [FORUM]
    assert len(await AuditStore(database).latest()) == 1


async def test_a_revoked_key_keeps_its_name_and_cannot_be_used_again(key_store: KeyStore, clock: FakeClock) -> None:
    await create(key_store)
    await key_store.rotate(FORUM.id, "d1", grace=DAY, by="admin", through="cli")
    revoked = await key_store.revoke(FORUM.id, by="admin", through="cli")

    assert revoked.revoked_at == clock.now()
    assert revoked.digests(clock.now()) == []
    assert await key_store.revoke(FORUM.id, by="other", through="cli") == revoked
    assert await key_store.version() == revoked.version
    for again in (
        create(key_store, Caller("key_zzzzzzzz", "forum-app"), "d9"),
        key_store.change(FORUM.id, lambda caller: caller, by="admin", through="cli"),
        key_store.rotate(FORUM.id, "d2", grace=DAY, by="admin", through="cli"),
    ):
        with pytest.raises(Conflict):
            await again


async def test_a_rotated_key_opens_by_both_digests_until_its_grace_is_over(
    key_store: KeyStore, clock: FakeClock
) -> None:
    await create(key_store)
    row = await key_store.rotate(FORUM.id, "d1", grace=timedelta(hours=1), by="admin", through="api")

    assert row.caller == FORUM
    assert row.digests(clock.now() + timedelta(minutes=59)) == ["d1", "d0"]
    assert row.digests(clock.now() + timedelta(hours=1)) == ["d1"]

    row = await key_store.rotate(FORUM.id, "d2", grace=timedelta(0), by="admin", through="api")

    assert row.digests(clock.now()) == ["d2"]


async def test_a_change_leaves_id_and_digest_alone(key_store: KeyStore) -> None:
    await create(key_store)
    row = await key_store.change(FORUM.id, lambda caller: Caller("ignored", "new-name"), by="admin", through="api")

    assert row.caller == Caller(FORUM.id, "new-name")
    assert row.digest == "d0"


async def test_a_name_that_another_key_has_is_no_new_name(key_store: KeyStore) -> None:
    await create(key_store)
    await create(key_store, BARE, "d1")

    with pytest.raises(Conflict, match="forum-app"):
        await key_store.change(BARE.id, lambda caller: replace(caller, name="forum-app"), by="admin", through="api")


async def test_what_is_not_there_is_not_found(key_store: KeyStore) -> None:
    for change in (
        key_store.change("key_none0000", lambda caller: caller, by="admin", through="api"),
        key_store.rotate("key_none0000", "d", grace=DAY, by="admin", through="api"),
        key_store.revoke("key_none0000", by="admin", through="api"),
    ):
        with pytest.raises(NotFound, match="key_none0000"):
            await change


async def test_every_change_is_an_audit_row_without_digests(
    key_store: KeyStore, database: Database, clock: FakeClock
) -> None:
    audit = AuditStore(database)
    await create(key_store, BARE, "d0-secret")
    clock.advance(1)
    await key_store.change(BARE.id, lambda caller: replace(caller, team="forum"), by="mira", through="page")
    clock.advance(1)
    await key_store.rotate(BARE.id, "d1-secret", grace=DAY, by="admin", through="cli")
    clock.advance(1)
    await key_store.revoke(BARE.id, by="admin", through="cli")

    rows = await audit.latest()

    assert [(row.action, row.by, row.through, row.subject) for row in rows] == [
        ("key_revoked", "admin", "cli", BARE.id),
        ("key_rotated", "admin", "cli", BARE.id),
        ("key_changed", "mira", "page", BARE.id),
        ("key_created", "admin", "api", BARE.id),
    ]
    assert rows[2].changes == {"team": (None, "forum")}
    assert rows[3].changes == {"name": (None, "bare"), "role": (None, "caller")}
    assert "secret" not in repr(rows)
    assert [row.at for row in rows] == sorted((row.at for row in rows), reverse=True)


async def test_a_budget_of_nothing_is_in_the_audit_too(key_store: KeyStore, database: Database) -> None:
    await create(key_store, replace(BARE, budget=Budget(day_nanousd=0)), "d0")
    (row,) = await AuditStore(database).latest()
    assert row.changes is not None
    assert row.changes["day_nanousd"] == (None, 0)


async def test_a_change_that_changes_nothing_is_none(key_store: KeyStore, database: Database) -> None:
    created = await create(key_store)

    assert await key_store.change(FORUM.id, lambda caller: caller, by="admin", through="api") == created
    assert len(await AuditStore(database).latest()) == 1


async def test_audit_rows_are_read_page_by_page(database: Database, clock: FakeClock) -> None:
    audit = AuditStore(database)
    for n in range(5):
        await audit.add(audit_row(clock.now(), by="admin", action="route_moved", subject=f"r{n % 2}", through="page"))
        clock.advance(1)
    first = await audit.latest(2)

    assert [row.subject for row in first] == ["r0", "r1"]
    assert [row.subject for row in await audit.latest(before=first[-1].audit_id)] == ["r0", "r1", "r0"]
    assert len(await audit.latest(subject="r0")) == 3


async def test_two_changes_at_once_do_not_undo_each_other(key_store: KeyStore, other_store: KeyStore) -> None:
    await create(key_store, BARE)

    await asyncio.gather(
        key_store.change(BARE.id, lambda caller: replace(caller, team="forum"), by="a", through="api"),
        other_store.change(BARE.id, lambda caller: replace(caller, owner="mira"), by="b", through="api"),
    )

    assert (await key_store.all())[0].caller == replace(BARE, team="forum", owner="mira")


async def test_keys_are_read_page_by_page_by_their_names(key_store: KeyStore) -> None:
    for number, name in enumerate(("d", "B", "a", "c")):
        await create(key_store, Caller(f"key_0000000{number}", name), digest=f"d{number}")
    await key_store.revoke("key_00000003", by="admin", through="api")
    names: list[str] = []
    while page := await key_store.page(names[-1] if names else None, 2, revoked=True):
        assert len(page) <= 2
        names += [row.caller.name for row in page]
    assert sorted(names) == ["B", "a", "c", "d"]
    living = await key_store.page(None, 10, revoked=False)
    assert [row.caller.name for row in living] == [name for name in names if name != "c"]
