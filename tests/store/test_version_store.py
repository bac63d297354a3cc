import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from example_routes import BASE, FINE_TUNE, a_primary, a_provider, a_route
from sqlalchemy import insert, update

from gateway.clock import time_ordered_id
from gateway.config.routes import Route
from gateway.policy.promotion import PromotionState, Version, VersionStatus
from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_training import promotions
from gateway.store.versions import Registered, VersionStore, write_status
from tests.store.rows import START

NEXT = "ft:gpt-4.1-mini-2025-04-14:acme:forum-reply:B2c3D4e5"
LATER = START + timedelta(days=1)


def _said(model: str = NEXT, **fields: Any) -> Registered:
    return Registered(**{"provider": "here", "model": model, "origin": "job", "by": "me"} | fields)


def _standings(versions: list[Version]) -> dict[str, str]:
    return {version.name: version.status for version in versions}


async def _promote(database: Database, **fields: Any) -> None:
    """Write a promotion of v2 that is in force."""
    row = {
        "promotion_id": time_ordered_id(START),
        "route": "forum-reply",
        "tenant": "",
        "number": 2,
        "provider": "here",
        "model": NEXT,
        "incumbent_provider": "here",
        "incumbent_model": FINE_TUNE,
        "state": PromotionState.SERVING,
        "share": 1.0,
        "margin": 0.05,
        "by": "me",
        "reason": "because",
        "started_at": START,
        "changed_at": START,
        "expires_at": LATER,
        "version": 1,
    }
    await Rows(database).write(insert(promotions).values(row | fields))


async def test_numbers_begin_with_the_primary_of_routes_yaml(database: Database, other_database: Database) -> None:
    said = _said(
        base=BASE,
        job_id="0190a0b0-0000-7000-8000-000000000001",
        dataset_hash="sha256:d",
        trained_system=("Be kind.",),
        cost_nanousd=7,
    )
    version = await VersionStore(database).register(a_route(), said, START)
    store = VersionStore(other_database)
    first, second = await store.of_route("forum-reply")
    assert second == version
    assert (first.name, first.model, first.base, first.origin, first.status, first.by) == (
        "v1",
        FINE_TUNE,
        BASE,
        "routes",
        VersionStatus.SERVING,
        "me",
    )
    assert (second.name, second.status, second.job_id, second.dataset_hash, second.trained_system) == (
        "v2",
        VersionStatus.CANDIDATE,
        said.job_id,
        "sha256:d",
        ("Be kind.",),
    )
    assert await store.find("forum-reply", 2) == version
    assert await store.find("forum-reply", 3) is None
    assert await store.of_model("forum-reply", "here", NEXT) == version
    assert await store.of_model("forum-reply", "there", NEXT) is None
    assert await store.serving() == {"forum-reply": first}


async def test_a_version_is_registered_once_and_what_was_not_known_is_filled_in(database: Database) -> None:
    store = VersionStore(database)
    first = await store.register(a_route(), _said(origin="named", cost_nanousd=5), START)
    again = await store.register(a_route(), _said(base=BASE, dataset_hash="sha256:d", cost_nanousd=9), LATER)
    assert again == replace(first, base=BASE, dataset_hash="sha256:d")
    assert again == await store.find("forum-reply", 2)
    assert len(await store.of_route("forum-reply")) == 2


async def test_a_route_without_a_primary_begins_with_what_is_registered(database: Database) -> None:
    store = VersionStore(database)
    bare = a_route(primary=None)
    assert await store.follow_routes(bare, "me", START) is None
    assert (await store.register(bare, _said(), START)).name == "v1"


async def test_routes_count_apart_and_a_variant_names_its_tenant(database: Database) -> None:
    store = VersionStore(database)
    theirs = a_route(name="forum-reply:acme", tenant="acme", variant_of="forum-reply")
    await store.register(a_route(), _said(), START)
    assert (await store.register(theirs, _said(), START)).tenant == "acme"
    assert [(version.route, version.name, version.tenant) for version in await store.all()] == [
        ("forum-reply", "v1", ""),
        ("forum-reply", "v2", ""),
        ("forum-reply:acme", "v1", "acme"),
        ("forum-reply:acme", "v2", "acme"),
    ]


def _naming(model: str) -> Route:
    return a_route(primary=a_primary(model=model))


async def test_the_version_that_routes_yaml_names_serves_and_the_one_before_is_retired(database: Database) -> None:
    store = VersionStore(database)
    await store.register(a_route(), _said(), START)
    version = await store.follow_routes(_naming(NEXT), "me", LATER)
    assert version == await store.find("forum-reply", 2)
    assert _standings(await store.of_route("forum-reply")) == {"v1": "retired", "v2": "serving"}
    assert [version.changed_at for version in await store.of_route("forum-reply")] == [LATER, LATER]
    third = await store.follow_routes(_naming("ft:a-third"), "you", LATER)
    assert third is not None
    assert (third.name, third.origin, third.by, third.status) == ("v3", "routes", "you", VersionStatus.SERVING)
    assert _standings(await store.of_route("forum-reply")) == {"v1": "retired", "v2": "retired", "v3": "serving"}


async def test_looking_again_changes_nothing(database: Database) -> None:
    store = VersionStore(database)
    first = await store.follow_routes(a_route(), "me", START)
    assert await store.follow_routes(a_route(), "you", LATER) == first
    assert await store.of_route("forum-reply") == [first]


async def test_the_same_model_at_another_provider_is_a_version_of_its_own(database: Database) -> None:
    store = VersionStore(database)
    await store.follow_routes(a_route(), "me", START)
    moved = await store.follow_routes(a_route(primary=a_primary(provider=a_provider(name="there"))), "me", LATER)
    assert moved is not None and moved.name == "v2"


async def test_while_a_promotion_is_in_force_whoever_began_it_writes_where_versions_stand(database: Database) -> None:
    store = VersionStore(database)
    await store.register(a_route(), _said(), START)
    await _promote(database)
    await store.set_status("forum-reply", 2, VersionStatus.SERVING, START)
    assert _standings(await store.of_route("forum-reply")) == {"v1": "retired", "v2": "serving"}
    await store.follow_routes(a_route(), "me", LATER)
    await store.follow_routes(_naming("ft:a-third"), "me", LATER)
    assert _standings(await store.of_route("forum-reply")) == {"v1": "retired", "v2": "serving", "v3": "candidate"}
    await Rows(database).write(update(promotions).values(ended_at=LATER))
    await store.follow_routes(_naming("ft:a-third"), "me", LATER)
    assert _standings(await store.of_route("forum-reply")) == {"v1": "retired", "v2": "retired", "v3": "serving"}


async def test_what_becomes_known_is_attached(database: Database) -> None:
    store = VersionStore(database)
    await store.register(a_route(), _said(), START)
    evaluation_id = time_ordered_id(START)
    assert await store.attach("forum-reply", 2, evaluation_id=evaluation_id, trained_system=["Be kind."])
    assert await store.attach("forum-reply", 2, pack_hash="sha256:p", cost_nanousd=0)
    assert await store.attach("forum-reply", 2)
    version = await store.find("forum-reply", 2)
    assert version is not None
    assert (version.evaluation_id, version.pack_hash, version.trained_system) == (
        evaluation_id,
        "sha256:p",
        ("Be kind.",),
    )
    assert version.cost_nanousd == 0
    for known in ({"evaluation_id": evaluation_id}, {}):
        assert not await store.attach("forum-reply", 9, **known)


async def test_a_status_is_written_within_the_transaction_of_its_change(database: Database) -> None:
    store = VersionStore(database)
    await store.register(a_route(), _said(), START)
    async with database.engine.connect() as connection:
        assert await write_status(connection, "forum-reply", 2, VersionStatus.SERVING, LATER)
        assert not await write_status(connection, "forum-reply", 9, VersionStatus.SERVING, LATER)
        await connection.rollback()
    assert _standings(await store.of_route("forum-reply")) == {"v1": "serving", "v2": "candidate"}
    assert await store.set_status("forum-reply", 2, VersionStatus.CANARY, LATER)
    assert not await store.set_status("forum-reply", 9, VersionStatus.CANARY, LATER)
    assert _standings(await store.of_route("forum-reply")) == {"v1": "serving", "v2": "canary"}


@pytest.mark.parametrize("models", [["ft:same"] * 8, [f"ft:{number}" for number in range(8)]], ids=["same", "others"])
async def test_eight_at_once_take_each_number_once(
    database: Database, other_database: Database, models: list[str]
) -> None:
    stores = [VersionStore(database), VersionStore(other_database)] * 4
    registering = [store.register(a_route(), _said(model), START) for store, model in zip(stores, models, strict=True)]
    registered = await asyncio.gather(*registering)
    assert {version.number for version in registered} == set(range(2, 2 + len(set(models))))
    assert [version.number for version in await stores[0].of_route("forum-reply")] == list(
        range(1, 2 + len(set(models)))
    )
