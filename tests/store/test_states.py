import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from gateway.policy.announcements import Event, Notice
from gateway.policy.availability import TargetState
from gateway.policy.planner import Command
from gateway.policy.standing import RouteState, Standing
from gateway.reasons import Availability, EventKind, Reason
from gateway.store.audit import AuditStore
from gateway.store.database import Database
from gateway.store.states import RouteMove, Shared, StateStore
from gateway.store.tables import events, notices

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = ("openai", "ft:gpt-4o-mini-2024-07-18:acme::A1b2C3d4")
ON_PRIMARY, ON_LUNA = Standing("primary", Reason.PRIMARY), Standing("luna", Reason.GONE)


@pytest.fixture
def states(database: Database) -> StateStore:
    return StateStore(database, "one")


@pytest.fixture
def others(other_database: Database) -> StateStore:
    return StateStore(other_database, "two")


def an_event(number: int = 1, **fields: Any) -> Event:
    given = {"event_id": str(UUID(int=number)), "at": NOW, "kind": EventKind.CUTOVER, "reason": Reason.GONE}
    told = {"route": "reply", "owner": None, "provider": KEY[0], "model": KEY[1], "from_target": KEY[1]}
    return Event(**{**given, **told, "to_target": "gpt-6-luna", "by": "one", "text": "It moved, für alle.", **fields})


def announce(found: Sequence[Event]) -> list[Notice]:
    """One message about everything that happened together; its id is the first event's."""
    return [Notice(found[0].event_id, "ops", f"{len(found)} events", NOW)]


def a_move(number: int, before: RouteState | None = None, after: Standing = ON_LUNA, by: int = 0) -> RouteMove:
    route = f"route-{number:02}"
    return RouteMove(route, after, before, an_event(1000 * by + number, route=route))


async def move(states: StateStore, moves: Sequence[RouteMove], now: datetime = NOW) -> list[str]:
    made = await states.move_routes(moves, now=now, config_hash="c0ffee", announce=announce)
    return [each.route for each in made]


async def rows(database: Database) -> tuple[int, int]:
    """How many events and how many messages are kept."""
    async with database.engine.connect() as connection:
        counted = [await connection.scalar(select(func.count()).select_from(table)) for table in (events, notices)]
    return counted[0], counted[1]


async def test_nothing_is_agreed_on_at_first(states: StateStore) -> None:
    assert await states.read(NOW) == Shared({}, {}, {})


async def test_what_is_written_is_what_is_read(states: StateStore) -> None:
    command = Command("luna", "trying it", "ana@laptop", NOW, NOW + MINUTE)
    assert await states.move_target(KEY, Availability.GONE, version=0, now=NOW)
    refused = Standing(None, Reason.GONE, refused=Reason.GONE)
    assert await move(states, [a_move(1), a_move(2, after=refused)]) == ["route-01", "route-02"]
    await states.command("reply", command)
    assert await states.read(NOW) == Shared(
        {KEY: TargetState(Availability.GONE, 1, NOW)},
        {
            "route-01": RouteState(ON_LUNA, 1, NOW, "c0ffee"),
            "route-02": RouteState(refused, 1, NOW, "c0ffee"),
        },
        {"reply": command},
    )


async def test_events_come_back_as_they_were_newest_first_and_by_route(states: StateStore) -> None:
    first, second = an_event(1, owner="support", once_key="k"), an_event(2, route=None, reason=None)
    assert await states.record([first, second], announce) == [first, second]
    assert await states.events() == [second, first]
    assert await states.events(limit=1) == [second]
    assert await states.events(route="reply") == [first]


@pytest.mark.parametrize(
    ("version", "writes"),
    [
        pytest.param(0, False, id="none was ever written: it was"),
        pytest.param(1, False, id="an old one"),
        pytest.param(2, True, id="the latest one"),
        pytest.param(3, False, id="one that does not exist yet"),
    ],
)
async def test_a_target_changes_only_for_who_knows_its_latest_version(
    states: StateStore, others: StateStore, database: Database, version: int, writes: bool
) -> None:
    assert await states.move_target(KEY, Availability.GONE, version=0, now=NOW)
    assert await others.move_target(KEY, Availability.AVAILABLE, version=1, now=NOW + MINUTE)
    moved = await states.move_target(
        KEY, Availability.NO_ACCESS, version=version, now=NOW + 2 * MINUTE, event=an_event(), announce=announce
    )
    assert moved is writes
    changed = TargetState(Availability.NO_ACCESS, 3, NOW + 2 * MINUTE)
    unchanged = TargetState(Availability.AVAILABLE, 2, NOW + MINUTE)
    assert (await states.read(NOW)).targets == {KEY: changed if writes else unchanged}
    assert await rows(database) == ((1, 1) if writes else (0, 0))


async def test_a_target_that_was_never_written_has_no_first_version_to_change(states: StateStore) -> None:
    assert not await states.move_target(KEY, Availability.GONE, version=1, now=NOW)
    assert await states.read(NOW) == Shared({}, {}, {})


@pytest.mark.parametrize("version", [0, 1], ids=["the first", "a later"])
async def test_of_two_that_change_one_target_one_wins_with_its_event(
    states: StateStore, others: StateStore, database: Database, version: int
) -> None:
    if version:
        await states.move_target(KEY, Availability.GONE, version=0, now=NOW)
    moved = await asyncio.gather(
        *(
            store.move_target(
                KEY, Availability.AVAILABLE, version=version, now=NOW, event=an_event(number), announce=announce
            )
            for number, store in enumerate((states, others, states, others))
        )
    )
    assert sorted(moved) == [False, False, False, True]
    [kept] = await states.events()
    assert kept == an_event(moved.index(True))
    assert await rows(database) == (1, 1)
    assert (await states.read(NOW)).targets[KEY].version == version + 1


async def test_of_two_that_move_one_route_one_wins_with_its_event(
    states: StateStore, others: StateStore, database: Database
) -> None:
    assert await move(states, [a_move(1)]) == ["route-01"]
    before = (await states.read(NOW)).routes["route-01"]
    made = await asyncio.gather(
        *(move(store, [a_move(1, before, ON_PRIMARY, by)], NOW + MINUTE) for by, store in ((1, states), (2, others)))
    )
    assert sorted(made) == [[], ["route-01"]]
    assert await rows(database) == (2, 2)
    route = (await others.read(NOW)).routes["route-01"]
    assert (route.standing, route.version, route.since) == (ON_PRIMARY, 2, NOW + MINUTE)
    winner = 1 if made[0] else 2
    assert (await states.events(limit=1))[0].event_id == str(UUID(int=1000 * winner + 1))


async def test_forty_routes_move_together_and_are_told_of_together(
    states: StateStore, others: StateStore, database: Database
) -> None:
    assert await move(others, [a_move(7)]) == ["route-07"]
    made = await move(states, [a_move(number, by=1) for number in range(40)])
    assert made == [f"route-{number:02}" for number in range(40) if number != 7]
    assert await rows(database) == (40, 2)
    async with database.engine.connect() as connection:
        bodies = (await connection.execute(select(notices.c.body))).scalars().all()
    assert sorted(bodies) == ["1 events", "39 events"]


async def test_a_move_of_many_is_made_whole_or_not_at_all(states: StateStore, database: Database) -> None:
    def breaks(found: Sequence[Event]) -> list[Notice]:
        raise RuntimeError(len(found))

    moves = [a_move(number) for number in range(40)]
    with pytest.raises(RuntimeError, match="40"):
        await states.move_routes(moves, now=NOW, config_hash="c", announce=breaks)
    assert await states.read(NOW) == Shared({}, {}, {})
    assert await rows(database) == (0, 0)


async def test_replicas_that_move_the_same_routes_in_any_order_do_not_wait_for_each_other_for_ever(
    states: StateStore, others: StateStore, database: Database
) -> None:
    numbers = list(range(40))
    async with asyncio.timeout(30):
        for turn in range(5):
            before = (await states.read(NOW)).routes
            after = (ON_LUNA, ON_PRIMARY)[turn % 2]
            orders = (numbers, numbers[::-1], numbers[20:] + numbers[:20], numbers[::2] + numbers[1::2])
            made = await asyncio.gather(
                *(
                    move(store, [a_move(n, before.get(f"route-{n:02}"), after, 10 * turn + by) for n in order])
                    for by, (store, order) in enumerate(zip((states, others, states, others), orders, strict=True))
                )
            )
            assert sorted(route for routes in made for route in routes) == [f"route-{n:02}" for n in numbers]
    assert (await rows(database))[0] == 5 * 40


async def test_a_route_stands_since_its_target_changed_not_since_its_reason_did(states: StateStore) -> None:
    await move(states, [a_move(1)])
    before = (await states.read(NOW)).routes["route-01"]
    renamed = RouteMove("route-01", Standing("luna", Reason.SHUTDOWN_REACHED), before, None)
    assert await move(states, [renamed], NOW + MINUTE) == ["route-01"]
    after = (await states.read(NOW)).routes["route-01"]
    assert (after.standing.reason, after.version, after.since) == (Reason.SHUTDOWN_REACHED, 2, NOW)


async def test_an_event_with_a_key_is_kept_once_whoever_writes_it(
    states: StateStore, others: StateStore, database: Database
) -> None:
    kept = await asyncio.gather(
        *(
            store.record([an_event(number, once_key="notice:90"), an_event(100 + number)], announce)
            for number, store in enumerate((states, others, states, others))
        )
    )
    assert sorted(len(new) for new in kept) == [1, 1, 1, 2]
    assert [event.once_key for event in await states.events()].count("notice:90") == 1
    assert await rows(database) == (5, 4)
    assert await others.record([an_event(200, once_key="notice:90")], announce) == []
    assert await rows(database) == (5, 4)


async def test_the_last_command_counts_until_it_is_taken_back(states: StateStore, others: StateStore) -> None:
    first = Command("luna", "trying it", "ana@laptop", NOW)
    second = Command("primary", "enough", "bo@laptop", NOW + MINUTE, NOW + 2 * MINUTE)
    await states.command("reply", first)
    assert (await others.read(NOW)).commands == {"reply": first}
    await others.command("reply", second)
    assert (await states.read(NOW)).commands == {"reply": second}
    taken_back = [
        await states.release("reply", by="cy@laptop", reason="done", now=NOW + 3 * MINUTE, through="page")
        for _ in range(2)
    ]
    assert taken_back == [True, False]
    assert (await others.read(NOW)).commands == {}


async def test_who_moved_a_route_and_gave_it_back_is_kept(states: StateStore, database: Database) -> None:
    first = Command("luna", "trying it", "ana@laptop", NOW)
    second = Command("primary", "enough", "bo@laptop", NOW + MINUTE, NOW + 2 * MINUTE)
    await states.command("reply", first)
    await states.command("reply", second, through="page")
    for _ in range(2):
        await states.release("reply", by="cy@laptop", reason="done", now=NOW + 3 * MINUTE)
    kept = await AuditStore(database).latest(subject="reply")
    assert [(row.action, row.by, row.through, row.at) for row in kept] == [
        ("route_given_back", "cy@laptop", "cli", NOW + 3 * MINUTE),
        ("route_moved", "bo@laptop", "page", NOW + MINUTE),
        ("route_moved", "ana@laptop", "cli", NOW),
    ]
    expires = (NOW + 2 * MINUTE).isoformat()
    assert [row.changes for row in kept] == [
        {"target": ("primary", None), "reason": ("enough", "done"), "expires_at": (expires, None)},
        {"target": ("luna", "primary"), "reason": ("trying it", "enough"), "expires_at": (None, expires)},
        {"target": (None, "luna"), "reason": (None, "trying it")},
    ]


async def test_commands_that_come_at_once_are_one(states: StateStore, others: StateStore) -> None:
    given = [Command("luna", "now", f"person {number}", NOW) for number in range(6)]
    await asyncio.gather(
        *(store.command("reply", each) for each, store in zip(given, (states, others) * 3, strict=True))
    )
    assert (await states.read(NOW)).commands["reply"] in given
