import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from migrated_database import migrated
from sqlalchemy import select
from structlog.testing import capture_logs

from gateway.config.routes import Webhook
from gateway.lifecycle.herald import LEASE_S, Herald
from gateway.metrics import Metrics
from gateway.policy.announcements import Notice
from gateway.providers.http_client import HttpClient
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.outbox import Outbox
from gateway.store.tables import notices
from tests.fake_clock import FakeClock
from tests.providers.raw_upstream import RawUpstream, Reader, Talk, Writer, answering, listening, whole

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OK, OUCH, GONE = whole(b"ok"), whole(b"", status="500 Oh"), whole(b"", status="410 Gone")


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    migrated(url)
    return url


class LosingOutbox(Outbox):
    """An outbox whose replica dies, or loses its database, between a message's arrival and its record."""

    def __init__(self, database: Database, failures: int) -> None:
        super().__init__(database)
        self.failures = failures
        self.recording = asyncio.Event()

    async def delivered(self, notice: Notice, at: datetime) -> None:
        self.recording.set()
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable("gateway.db: the database is away")
        await super().delivered(notice, at)


@dataclass
class Replica:
    """One replica: a database connection, a client and a herald of its own, on a clock that all share."""

    database: Database
    outbox: Outbox | None
    clock: FakeClock
    webhooks: dict[str, Webhook]
    metrics: Metrics = field(default_factory=Metrics)
    client: HttpClient = field(default_factory=HttpClient)
    running: asyncio.Task[None] | None = None
    herald: Herald | None = None

    @property
    def idle(self) -> bool:
        return self.herald is None or not self.herald._busy

    def start(self, timeout_s: float = 10.0) -> None:
        self.herald = Herald(
            outbox=lambda: self.outbox,
            webhooks=lambda: self.webhooks,
            client=self.client,
            environ={},
            clock=self.clock,
            metrics=self.metrics,
            timeout_s=timeout_s,
        )
        self.running = asyncio.create_task(self.herald.run())

    async def stop(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            self.running = None

    def counted(self) -> dict[tuple[str, str], float]:
        [family] = self.metrics.webhooks.collect()
        return {
            (sample.labels["webhook"], sample.labels["outcome"]): sample.value
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    async def put(self, *added: Notice) -> None:
        async with self.database.engine.begin() as connection:
            await Outbox(self.database).add(connection, added)

    async def errors(self) -> list[str | None]:
        async with self.database.engine.connect() as connection:
            return list((await connection.execute(select(notices.c.last_error))).scalars())


@asynccontextmanager
async def replica(
    url: str, clock: FakeClock, *hooks: Webhook, outbox: Callable[[Database], Outbox] = Outbox
) -> AsyncIterator[Replica]:
    database = await Database.open(url)
    made = Replica(database, outbox(database), clock, {hook.name: hook for hook in hooks})
    try:
        yield made
    finally:
        await made.stop()
        made.client.close()
        await database.close()


def a_hook(raw: RawUpstream, name: str = "ops") -> Webhook:
    return Webhook(name=name, url=f"http://127.0.0.1:{raw.port}/{name}/123456")


def a_notice(number: int = 1, webhook: str = "ops", at: datetime = NOW) -> Notice:
    return Notice(str(UUID(int=number)), webhook, json.dumps({"number": number}), at)


def ids(raw: RawUpstream) -> list[int]:
    """Return the ids of the messages that came, in order."""
    lines = [line for request in raw.requests for line in request.split(b"\r\n") if line.startswith(b"webhook-id")]
    return [UUID(line.decode().removeprefix("webhook-id: msg_")).int for line in lines]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.002)


async def second_by_second(clock: FakeClock, condition: Callable[[], bool], *replicas: Replica) -> None:
    """Let second after second pass until something is so, each once these replicas have nothing under way."""
    async with asyncio.timeout(60):
        while not condition():
            if clock.sleepers >= len(replicas) and all(each.idle for each in replicas):
                clock.advance(1)
            await asyncio.sleep(0.002)


async def passed(clock: FakeClock, seconds: int, *replicas: Replica) -> None:
    """Let so many seconds pass, each once these replicas have nothing under way."""
    end = clock.monotonic() + seconds
    await second_by_second(clock, lambda: clock.monotonic() >= end, *replicas)
    await until(lambda: clock.sleepers >= len(replicas) and all(each.idle for each in replicas))


@pytest.fixture(params=["sqlite", "postgresql"])
def either_url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return str(request.getfixturevalue("url"))
    return str(request.getfixturevalue("postgres").migrated_database())


async def test_two_replicas_deliver_each_message_once(either_url: str) -> None:
    url, clock = either_url, FakeClock(NOW)
    async with (
        listening(answering(OK)) as raw,
        replica(url, clock, a_hook(raw, "a"), a_hook(raw, "b"), a_hook(raw, "c")) as one,
        replica(url, clock, a_hook(raw, "a"), a_hook(raw, "b"), a_hook(raw, "c")) as two,
    ):
        await one.put(*(a_notice(number, "abc"[number % 3]) for number in range(30)))
        one.start()
        two.start()
        await second_by_second(clock, lambda: len(raw.requests) >= 30, one, two)
        await passed(clock, 70, one, two)
        assert sorted(ids(raw)) == list(range(30))
        assert await Outbox(one.database).pending() == (0, None)
        total = sum((*one.counted().values(), *two.counted().values()))
        assert total == 30


async def test_a_receiver_with_two_errors_gets_three_tries_with_one_id(url: str) -> None:
    clock = FakeClock(NOW)
    async with listening(answering(OUCH, OUCH, OK)) as raw, replica(url, clock, a_hook(raw)) as one:
        await one.put(a_notice(7))
        one.start()
        came: list[float] = []
        for count in (1, 2, 3):
            await second_by_second(clock, lambda count=count: len(raw.requests) == count, one)
            came.append(clock.monotonic())
        await passed(clock, 60, one)
        assert ids(raw) == [7, 7, 7]
        # At once, after 5 s, after 30 s; the look-out is every second.
        assert [came[1] - came[0], came[2] - came[1]] == [pytest.approx(5, abs=1.5), pytest.approx(30, abs=1.5)]
        assert one.counted() == {("ops", "failed"): 2, ("ops", "delivered"): 1}
        assert await one.errors() == [None]


def hanging(upstream: RawUpstream) -> Talk:
    async def hang(reader: Reader, writer: Writer) -> None:
        await upstream.request(reader)
        await reader.read()

    return hang


async def test_a_receiver_that_hangs_does_not_hold_up_others(url: str) -> None:
    clock = FakeClock(NOW)
    async with (
        listening(hanging) as slow,
        listening(answering(OK)) as quick,
        replica(url, clock, a_hook(slow, "slow"), a_hook(quick, "quick")) as one,
    ):
        await one.put(*(a_notice(number, "slow", NOW - timedelta(1)) for number in range(8)))
        await one.put(*(a_notice(number, "quick") for number in range(20, 28)))
        one.start()
        assert one.herald is not None
        while len(quick.requests) < 8:
            # The slow one stays under way all the while.
            await until(lambda: clock.sleepers > 0 and list(one.herald._busy) in ([], ["slow"]))
            clock.advance(1)
            await asyncio.sleep(0.002)
        assert len(slow.requests) == 1
        assert sorted(ids(quick)) == list(range(20, 28))


async def test_a_receiver_that_hangs_has_failed_after_its_time(url: str) -> None:
    clock = FakeClock(NOW)
    async with listening(hanging) as slow, replica(url, clock, a_hook(slow)) as one:
        await one.put(a_notice())
        one.start(timeout_s=0.05)
        await until(lambda: one.counted() == {("ops", "failed"): 1})
        await second_by_second(clock, lambda: len(slow.requests) == 2, one)
        assert ids(slow) == [1, 1]


async def test_a_replica_that_dies_before_it_records_repeats_the_message_when_its_lease_is_over(url: str) -> None:
    clock = FakeClock(NOW)
    async with listening(answering(OK)) as raw, replica(url, clock, a_hook(raw)) as other:
        async with replica(url, clock, a_hook(raw), outbox=lambda db: LosingOutbox(db, 10**6)) as dying:
            await dying.put(a_notice())
            dying.start()
            assert isinstance(dying.outbox, LosingOutbox)
            await asyncio.wait_for(dying.outbox.recording.wait(), 10)
            await dying.stop()
        other.start()
        await passed(clock, int(LEASE_S) - 2, other)
        assert ids(raw) == [1]
        await second_by_second(clock, lambda: len(raw.requests) == 2, other)
        await passed(clock, 70, other)
        assert ids(raw) == [1, 1]


async def test_a_database_that_is_away_for_a_moment_repeats_nothing(url: str) -> None:
    clock = FakeClock(NOW)
    async with (
        listening(answering(OK)) as raw,
        replica(url, clock, a_hook(raw), outbox=lambda db: LosingOutbox(db, 3)) as one,
    ):
        await one.put(a_notice())
        one.start()
        # It stays under way until it is recorded.
        assert isinstance(one.outbox, LosingOutbox)
        await second_by_second(clock, lambda: one.outbox.failures == 0 and one.idle)
        await passed(clock, 100, one)
        assert ids(raw) == [1]
        assert await Outbox(one.database).pending() == (0, None)


class AwayOutbox(Outbox):
    """An outbox whose database cannot be asked."""

    async def claim(self, now: datetime, **how: Any) -> list[Notice]:
        raise DatabaseUnavailable("gateway.db: the database is away")


async def test_with_the_database_away_it_waits_and_says_so_once(url: str) -> None:
    clock = FakeClock(NOW)
    async with listening(answering(OK)) as raw, replica(url, clock, a_hook(raw), outbox=AwayOutbox) as one:
        await one.put(a_notice())
        with capture_logs() as logs:
            one.start()
            await passed(clock, 5, one)
            assert [entry["event"] for entry in logs] == ["webhooks_wait_for_database"]
        one.outbox = None
        await passed(clock, 2, one)
        assert raw.requests == []
        one.outbox = Outbox(one.database)
        await second_by_second(clock, lambda: len(raw.requests) == 1, one)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


async def test_a_receiver_that_says_gone_is_not_asked_again(url: str, logs: list[Any]) -> None:
    clock = FakeClock(NOW)
    async with listening(answering(GONE)) as raw, replica(url, clock, a_hook(raw)) as one:
        await one.put(a_notice())
        one.start()
        await until(lambda: one.counted() == {("ops", "given_up"): 1})
        await passed(clock, 30, one)
        assert len(raw.requests) == 1
        assert await one.errors() == ["127.0.0.1 answered 410"]
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("webhook_given_up", "error")]
    # The path is what lets its reader post.
    assert "123456" not in str(logs)


async def test_after_three_days_a_message_is_given_up(url: str, logs: list[Any]) -> None:
    clock = FakeClock(NOW)
    async with listening(answering(OUCH)) as raw, replica(url, clock, a_hook(raw)) as one:
        await one.put(a_notice())
        one.start()
        tries = 0
        while ("ops", "given_up") not in one.counted():
            await second_by_second(clock, lambda tries=tries: sum(one.counted().values()) > tries, one)
            await until(lambda: one.idle)
            tries += 1
            if (due := await _due(one)) is not None:
                clock.advance((due - clock.now()).total_seconds() - 1)
        # Four tries within 13 minutes, then one an hour.
        assert 70 <= tries <= 80
        assert await Outbox(one.database).pending() == (0, None)
        assert await one.errors() == ["127.0.0.1 answered 500"]
        assert logs[-1]["event"] == "webhook_given_up"
        assert logs[-1]["tries"] == tries


async def _due(one: Replica) -> datetime | None:
    """Return when the only message is due."""
    async with one.database.engine.connect() as connection:
        return (await connection.execute(select(notices.c.due_at))).scalar_one()


async def test_a_webhook_that_is_configured_no_longer_is_given_up_after_ten_minutes(url: str) -> None:
    clock = FakeClock(NOW)
    async with listening(answering(OK)) as raw, replica(url, clock) as one:
        # Until then another replica may have a newer configuration.
        await one.put(a_notice(1, at=NOW), a_notice(2, at=NOW - timedelta(minutes=11)))
        one.start()
        await until(lambda: one.counted() == {("_other", "failed"): 1, ("_other", "given_up"): 1})
        one.webhooks["ops"] = a_hook(raw)
        await second_by_second(clock, lambda: len(raw.requests) == 1, one)
        assert ids(raw) == [1]
        assert "no webhook of this name is configured any more" in await one.errors()
