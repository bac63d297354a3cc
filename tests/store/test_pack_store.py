import asyncio
from datetime import timedelta

import pytest
from a_pack import pack_files
from sqlalchemy import select, update

from gateway.config.packs import POOL, BadPack, parse_pack
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.packs import PackStore
from gateway.store.rows import Rows
from gateway.store.tables_learning import packs
from tests.store.rows import START


async def test_a_pack_that_is_pushed_is_fetched_by_its_hash(database: Database, other_database: Database) -> None:
    store, elsewhere = PackStore(database), PackStore(other_database)
    ours, theirs = pack_files({POOL: b""}), pack_files(tenant="acme")
    pushed = await store.push(ours, "me", START)
    await store.push(theirs, "you", START + timedelta(days=1))
    assert await elsewhere.fetch([pushed.hash, "sha256:unknown"]) == {pushed.hash: parse_pack(ours)}
    assert await elsewhere.fetch([]) == {}
    assert [(row["hash"], row["tenant"], row["by"]) for row in await elsewhere.all()] == [
        (parse_pack(theirs).hash, "acme", "you"),
        (pushed.hash, "", "me"),
    ]


async def test_a_pack_that_is_there_stays_as_it_is(database: Database) -> None:
    store = PackStore(database)
    await store.push(pack_files(), "me", START)
    await store.push(pack_files(), "you", START + timedelta(days=1))
    assert [(row["by"], row["pushed_at"]) for row in await store.all()] == [("me", START)]


async def test_a_pack_that_cannot_be_used_is_not_kept(database: Database) -> None:
    with pytest.raises(BadPack):
        await PackStore(database).push(pack_files() | {POOL: b"{"}, "me", START)
    assert await PackStore(database).all() == []


async def test_files_beside_the_packs_own_are_not_kept(database: Database) -> None:
    pack = await PackStore(database).push(pack_files() | {"notes.bin": b"\xff"}, "me", START)
    assert pack.hash in await PackStore(database).fetch([pack.hash])


async def _damage(database: Database, hash_: str, how: str) -> None:
    (row,) = await Rows(database).read(select(packs.c.content).where(packs.c.hash == hash_))
    content = row["content"]
    if how == "another pack":
        other = await PackStore(database).push(pack_files(similar=1), "me", START)
        (row,) = await Rows(database).read(select(packs.c.content).where(packs.c.hash == other.hash))
        content = row["content"]
    changed = {"cut": content[:-20], "flipped": content[:60] + bytes([content[60] ^ 1]) + content[61:], "gone": b""}
    statement = update(packs).where(packs.c.hash == hash_).values(content=changed.get(how, content))
    await Rows(database).write(statement)


@pytest.mark.parametrize("how", ["cut", "flipped", "gone", "another pack"])
async def test_a_damaged_copy_is_never_used_and_mended_by_pushing_again(database: Database, how: str) -> None:
    store = PackStore(database)
    pack = await store.push(pack_files(), "me", START)
    await _damage(database, pack.hash, how)
    with pytest.raises(BadPack, match=f"the copy of {pack.hash} in the database is damaged; push the pack again"):
        await store.fetch([pack.hash])
    await store.push(pack_files(), "you", START)
    assert await store.fetch([pack.hash]) == {pack.hash: pack}


async def test_two_replicas_may_push_the_same_pack_at_once(database: Database, other_database: Database) -> None:
    await asyncio.gather(*(PackStore(of).push(pack_files(), "me", START) for of in (database, other_database)))
    assert len(await PackStore(database).all()) == 1


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_database_that_lacks_the_tables_is_unavailable(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE packs")
    for work in (PackStore(database).all(), PackStore(database).push(pack_files(), "me", START)):
        with pytest.raises(DatabaseUnavailable):
            await work
