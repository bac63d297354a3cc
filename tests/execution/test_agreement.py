"""One replica's side of agreeing with the others, against a real database that a second one writes to as well."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from example_promotions import a_canary
from migrated_database import migrated

from gateway.config.routes import ModelDates
from gateway.execution.agreement import Agreement
from gateway.execution.prepared import Snapshot
from gateway.execution.target_board import TargetBoard, TargetKey, key_of
from gateway.metrics import Metrics
from gateway.policy.announcements import Event
from gateway.policy.lifecycle import Dates, Published
from gateway.policy.planner import Command
from gateway.policy.promotion import PromotionState, promoted
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.reasons import Availability
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.published import PublishedStore
from gateway.store.states import StateStore
from tests.example_routes import FINE_TUNE, a_fallback, a_primary, a_provider, a_route, some_routes
from tests.fake_clock import FakeClock

SANDBOX = a_provider(kind="sandbox")
PRIMARY, LUNA = a_primary(provider=SANDBOX), a_fallback(provider=SANDBOX)
KEY, LUNA_KEY = key_of(PRIMARY), key_of(LUNA)
GONE, AVAILABLE = Availability.GONE, Availability.AVAILABLE


@dataclass
class Replica:
    """What one process has."""

    name: str
    clock: FakeClock
    store: StateStore | None
    snapshot: Snapshot
    board: TargetBoard
    changed: list[TargetKey] = field(default_factory=list)
    doubted: list[TargetKey] = field(default_factory=list)
    polls: int = 0
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.agreement = Agreement(
            board=self.board,
            snapshot=lambda: self.snapshot,
            store=lambda: self.store,
            announce=lambda events: [],
            changed=self.changed.append,
            doubt=self.doubted.append,
            dates_polled=self._polled,
            clock=self.clock,
            metrics=self.metrics,
            instance=self.name,
        )

    async def _polled(self) -> None:
        self.polls += 1

    def found(self, availability: Availability, key: TargetKey = KEY, version: int | None = None) -> None:
        known = self.board.agreed_version(key) if version is None else version
        self.agreement.found(key, availability, known)

    @property
    def says(self) -> Availability:
        return self.board.availability(PRIMARY)


@dataclass
class Bench:
    """Replicas on one database, by one clock."""

    url: str
    clock: FakeClock = field(default_factory=FakeClock)
    opened: list[Database] = field(default_factory=list)

    async def replica(self, name: str, *, away: bool = False, fallback: str = "luna", **config: Any) -> Replica:
        named = LUNA.model_copy(update={"name": fallback})
        routes = some_routes(a_route(primary=PRIMARY, fallbacks=(named,)), **config)
        client = HttpClient()
        upstreams = {each: Upstream(provider, client, {}, self.clock) for each, provider in routes.providers.items()}
        snapshot = Snapshot(routes, upstreams, metrics=Metrics(), clock=self.clock)
        board = TargetBoard(self.clock, lambda target, carefully: None)
        return Replica(name, self.clock, None if away else await self.store(name), snapshot, board)

    async def promoted(self, name: str, *, lacks_key: bool = False) -> Replica:
        """A replica while another version serves the route, at a provider whose key may be missing here."""
        there = a_provider(name="there", kind="sandbox")
        routes = some_routes(a_route(primary=PRIMARY, fallbacks=(LUNA,)), providers={"here": SANDBOX, "there": there})
        replica = await self.replica(name)
        made = promoted(
            routes,
            {"forum-reply": SERVING},
            self.clock.now(),
            unusable=lambda provider: "no key" if lacks_key else None,
        )
        upstreams = {
            each: Upstream(provider, HttpClient(), {}, self.clock) for each, provider in routes.providers.items()
        }
        replica.snapshot = Snapshot(made.routes, upstreams, metrics=Metrics(), clock=self.clock, promoted=made)
        return replica

    async def store(self, name: str) -> StateStore:
        self.opened.append(await Database.open(self.url))
        return StateStore(self.opened[-1], name)

    async def told(self) -> list[tuple[str, str | None]]:
        events: list[Event] = await (await self.store("reader")).events()
        return [(event.kind.value, event.reason.value if event.reason else None) for event in reversed(events)]


NEXT_KEY = ("there", "next")
SERVING = a_canary(
    FakeClock().now(), provider="there", incumbent_model=FINE_TUNE, state=PromotionState.SERVING, share=1.0
)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    url = f"sqlite:///{tmp_path}/state.db"
    await asyncio.to_thread(migrated, url)
    bench = Bench(url)
    yield bench
    for database in bench.opened:
        await database.close()


async def test_what_one_replica_finds_all_follow_and_one_event_tells(bench: Bench) -> None:
    one, two = await bench.replica("one"), await bench.replica("two")
    await one.agreement.tick()
    await two.agreement.tick()
    one.found(GONE)
    two.found(GONE)
    assert (one.says, two.says) == (GONE, GONE), "each acts on what it sees, at once"
    for replica in (one, two, one):
        await replica.agreement.tick()
    assert await bench.told() == [("cutover", "gone")]
    assert one.board.agreed_version(KEY) == two.board.agreed_version(KEY) == 1
    counted = [sum(child.value for child in each.metrics.cutovers._children.values()) for each in (one, two)]
    assert sum(counted) == 1


async def test_who_only_hears_of_it_waits_for_the_return(bench: Bench) -> None:
    one, two = await bench.replica("one"), await bench.replica("two")
    one.found(GONE)
    await one.agreement.tick()
    await two.agreement.tick()
    assert two.says is GONE
    assert two.changed == [KEY]
    assert one.changed == [], "it found it itself"


async def test_a_finding_from_before_others_moved_on_is_not_written(bench: Bench) -> None:
    one, sleeper = await bench.replica("one"), await bench.replica("sleeper")
    await sleeper.agreement.tick()
    one.found(GONE)
    await one.agreement.tick()
    bench.clock.advance(120)
    one.found(AVAILABLE)
    await one.agreement.tick()
    bench.clock.advance(120)
    # It looked before all this, and wakes only now.
    sleeper.found(GONE, version=0)
    await sleeper.agreement.tick()
    assert sleeper.says is AVAILABLE
    assert await bench.told() == [("cutover", "gone"), ("return", "primary")]


async def test_what_was_found_while_the_database_was_away_is_brought_in(bench: Bench) -> None:
    replica = await bench.replica("one", away=True)
    replica.found(GONE)
    await replica.agreement.tick()
    assert replica.says is GONE
    assert not replica.agreement.known.is_set()
    replica.store = await bench.store("one")
    await replica.agreement.tick()
    assert replica.agreement.known.is_set()
    assert await bench.told() == [("cutover", "gone")]


async def test_a_database_that_fails_is_told_once_and_stops_nobody(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replica = await bench.replica("one")
    await replica.agreement.tick()
    kept = (tmp_path / "state.db").read_bytes()
    for database in bench.opened:
        await database.close()
    for leftover in ("state.db-wal", "state.db-shm"):
        (tmp_path / leftover).unlink(missing_ok=True)
    (tmp_path / "state.db").write_bytes(b"no database" * 100)
    replica.found(GONE)
    for _ in range(3):
        await replica.agreement.tick()
    assert replica.says is GONE
    assert capsys.readouterr().out.count("shared_state_unavailable") == 1
    for database in bench.opened:
        await database.close()
    (tmp_path / "state.db").write_bytes(kept)
    await replica.agreement.tick()
    assert await bench.told() == [("cutover", "gone")]


async def test_after_a_return_it_cannot_be_gone_for_a_minute_and_is_passed_over(bench: Bench) -> None:
    replica = await bench.replica("one")
    for found in (GONE, AVAILABLE):
        replica.found(found)
        await replica.agreement.tick()
        bench.clock.advance(60 if found is GONE else 59)
    switches = [("cutover", "gone"), ("return", "primary")]
    assert await bench.told() == switches
    replica.found(GONE)
    await replica.agreement.tick()
    assert replica.says is Availability.SUSPECT
    assert await bench.told() == switches
    bench.clock.advance(1)
    await replica.agreement.tick()
    assert replica.says is GONE
    assert await bench.told() == [*switches, ("cutover", "gone")]


async def test_what_had_to_wait_long_is_looked_at_anew_before_it_is_told(bench: Bench) -> None:
    replica = await bench.replica("one")
    for found in (GONE, AVAILABLE):
        replica.found(found)
        await replica.agreement.tick()
        bench.clock.advance(60 if found is GONE else 5)
    replica.found(GONE)
    bench.clock.advance(55)
    await replica.agreement.tick()
    assert replica.doubted == [KEY]
    assert [kind for kind, _ in await bench.told()] == ["cutover", "return"]


async def test_a_fallbacks_loss_is_an_event_of_its_own(bench: Bench) -> None:
    replica = await bench.replica("one")
    await replica.agreement.tick()
    replica.found(Availability.NO_ACCESS, key=LUNA_KEY)
    await replica.agreement.tick()
    assert await bench.told() == [("availability", "no_access")]
    bench.clock.advance(1)
    replica.found(GONE)
    await replica.agreement.tick()
    assert (await bench.told())[1:] == [("refusal", "gone")]


async def test_a_command_moves_a_route_and_its_end_moves_it_back(bench: Bench) -> None:
    replica = await bench.replica("one")
    await replica.agreement.tick()
    now = bench.clock.now()
    await (await bench.store("kim")).command(
        "forum-reply", Command("luna", "a trial", "kim", now, now + timedelta(hours=1))
    )
    await replica.agreement.tick()
    assert replica.board.command("forum-reply") is not None
    bench.clock.advance(3600)
    await replica.agreement.tick()
    assert replica.board.command("forum-reply") is None
    assert await bench.told() == [("commanded", "commanded"), ("commanded", "primary")]


class OnlyRead(StateStore):
    """A database that takes no writes, as after a failover."""

    async def report(self, config_hash: str, config_at: datetime, now: datetime) -> None:
        raise DatabaseUnavailable("read-only")


async def test_a_database_that_can_only_be_read_is_followed_all_the_same(bench: Bench) -> None:
    one, two = await bench.replica("one"), await bench.replica("two")
    one.found(GONE)
    await one.agreement.tick()
    two.store = OnlyRead(bench.opened[-1], "two")
    await two.agreement.tick()
    assert two.says is GONE


async def test_a_canary_that_is_taken_away_leaves_the_decisions_to_the_others(bench: Bench) -> None:
    old = await bench.replica("old", config_hash="old")
    bench.clock.advance(10)
    canary = await bench.replica("canary", config_hash="new")
    for replica in (old, canary):
        await replica.agreement.tick()
    old.found(GONE)
    bench.clock.advance(30)
    await old.agreement.tick()
    assert await bench.told() == [], "while the canary lives, it has the say"
    bench.clock.advance(60)
    await old.agreement.tick()
    assert await bench.told() == [("cutover", "gone")]


async def test_dates_that_another_replica_was_told_are_taken_over(bench: Bench) -> None:
    replica = await bench.replica("one")
    await replica.agreement.tick()
    before = replica.polls
    database = await Database.open(bench.url)
    bench.opened.append(database)
    await PublishedStore(database).replace("here", [Published(FINE_TUNE, Dates())], bench.clock.now())
    for _ in range(3):
        await replica.agreement.tick()
    assert replica.polls == before + 1


async def test_a_fallback_that_was_renamed_is_no_news(bench: Bench) -> None:
    old = await bench.replica("one", config_hash="old")
    old.found(GONE)
    await old.agreement.tick()
    bench.clock.advance(10)
    renamed = await bench.replica("one", config_hash="new", fallback="terra")
    await renamed.agreement.tick()
    assert await bench.told() == [("cutover", "gone")]


async def test_a_replica_with_an_older_configuration_follows(bench: Bench) -> None:
    dated = {"lifecycle": {"here": {FINE_TUNE: ModelDates(shutdown=bench.clock.now().date(), source="a mail")}}}
    old = await bench.replica("old", config_hash="old")
    bench.clock.advance(10)
    new = await bench.replica("new", config_hash="new", **dated)
    for replica in (old, new, old, new, old):
        await replica.agreement.tick()
        bench.clock.advance(20)
    assert await bench.told() == [("cutover", "shutdown_reached")]


@pytest.mark.parametrize(
    ("key", "told"),
    [
        pytest.param(NEXT_KEY, [("cutover", "gone")], id="the version that serves is gone: one cutover"),
        pytest.param(KEY, [("availability", "gone")], id="the primary that it goes on with: no route moves"),
    ],
)
async def test_a_replica_that_cannot_follow_a_promotion_moves_its_route_as_the_others_do(
    bench: Bench, key: TargetKey, told: list[tuple[str, str | None]]
) -> None:
    follows, lacks_key = await bench.promoted("one"), await bench.promoted("two", lacks_key=True)
    primaries = [each.snapshot.prepared["forum-reply"].targets["primary"].key for each in (follows, lacks_key)]
    assert primaries == [NEXT_KEY, KEY]
    (follows if key == NEXT_KEY else lacks_key).found(GONE, key=key)
    for _ in range(4):
        for replica in (lacks_key, follows):
            await replica.agreement.tick()
        bench.clock.advance(61)
    assert await bench.told() == told


async def test_of_replicas_none_of_which_can_follow_a_promotion_one_still_decides(bench: Bench) -> None:
    replicas = [await bench.promoted(name, lacks_key=True) for name in ("one", "two")]
    now = bench.clock.now()
    await (await bench.store("kim")).command("forum-reply", Command("luna", "a trial", "kim", now))
    for replica in replicas:
        await replica.agreement.tick()
    assert await bench.told() == [("commanded", "commanded")]
