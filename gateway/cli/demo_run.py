"""Runs the demo: servers, callers, the vendor's doings, and the one who tells of it all."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import orjson

from gateway.cli import demo_ending as ending
from gateway.cli import demo_story as story
from gateway.cli.demo_clock import AcceleratedClock
from gateway.cli.demo_scene import Scene, Told, costs_in, first_seen, probes_in, route_now
from gateway.cli.demo_stage import Stage
from gateway.cli.demo_traffic import Traffic, exchange
from gateway.errors import ConfigError
from gateway.providers.connection import TransportError
from gateway.providers.http_client import HttpClient, Origin
from gateway.reasons import Availability, EventKind
from gateway.store.database import Database
from gateway.store.states import StateStore

LOOK_EVERY_S: Final = 0.5
ACT_EVERY_S: Final = 0.1
READY_S: Final = 30.0
AGREED_S: Final = 15.0
"""How long the last rows may take to the database."""
POLLS: Final = "gateway_calendar_polls_total{"
EVENTS: Final = 200
FOUND: Final = (Availability.GONE, Availability.NO_ACCESS)


class Unready(Exception):
    """Something answered otherwise than with what was asked for."""


class Teller(Protocol):
    """Whoever tells people, or programs, what happens."""

    def told(self, told: Told) -> None:
        """Hear that something happened."""

    def scene(self, scene: Scene) -> None:
        """Hear how things stand, twice a second."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended."""

    measured: ending.Measured
    early: bool
    """Whether somebody ended it before its time."""


class Demo:
    """One run of it."""

    def __init__(self, stage: Stage, clock: AcceleratedClock, teller: Teller) -> None:
        self._stage, self._clock, self._teller = stage, clock, teller
        self.story = story.story_from(clock.starts)
        self._traffic = Traffic(stage.url, clock)
        self._stopping = asyncio.Event()
        self._told: list[Told] = []
        self._events: set[str] = set()
        self._reasons: set[tuple[str, str]] = set()
        self._probes: dict[str, float] = {}
        self._client = HttpClient()

    async def run(self) -> Ended:
        """Play it from the first day to the last, or until somebody ends it; then compare ledger and bill."""
        with self._signals(), contextlib.closing(self._client):
            await self._until_ready()
            database = await Database.open(self._stage.database_url)
            try:
                events = StateStore(database, "the demo")
                watching = asyncio.create_task(self._watch(events))
                try:
                    async with self._traffic.going():
                        self._clock.begin()
                        await self._act(watching)
                        early = self._stopping.is_set()
                finally:
                    watching.cancel()
                    await asyncio.wait((watching,))
                await self._look(events)
                return Ended(await self._measured(database), early)
            finally:
                await database.close()

    async def stay(self) -> None:
        """Go on with a day like any other, until somebody ends it."""
        self._stopping = asyncio.Event()
        with self._signals():
            async with Traffic(self._stage.url, self._clock).going():
                await self._stopping.wait()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Have Ctrl-C and SIGTERM end it in order; a second one is Python's own."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)

        def stop() -> None:
            self._stopping.set()
            for each in signals:
                loop.remove_signal_handler(each)

        for each in signals:
            loop.add_signal_handler(each, stop)
        try:
            yield
        finally:
            for each in signals:
                loop.remove_signal_handler(each)

    async def _until_ready(self) -> None:
        """Wait until the gateway is ready and has asked the sandbox for its dates: what it hears later is news."""
        deadline = self._clock.monotonic() + READY_S
        while not self._stopping.is_set():
            self._stage.check()
            with contextlib.suppress(TransportError, Unready):
                await self._get(self._stage.url, "/readyz")
                page = (await self._get(self._stage.url, "/metrics")).decode().splitlines()
                polls = [line for line in page if line.startswith(POLLS) and 'outcome="ok"' in line]
                if any(not line.endswith(" 0.0") for line in polls):
                    return
            if self._clock.monotonic() > deadline:
                raise ConfigError(f"the gateway was not ready within {READY_S:g} s")
            await asyncio.sleep(ACT_EVERY_S)

    async def _get(self, url: str, path: str) -> bytes:
        return await self._exchange(url, f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())

    async def _post(self, path: str, body: dict[str, str]) -> None:
        raw = orjson.dumps(body)
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(raw)}\r\n\r\n"
        await self._exchange(self._stage.sandbox_url, head.encode() + raw)

    async def _exchange(self, url: str, request: bytes) -> bytes:
        status, _, answer = await exchange(self._client.pool(Origin.of(url)), request)
        if status != 200:
            raise Unready(f"{url} answered with {status}: {answer[:200].decode(errors='replace')}")
        return answer

    # The vendor's part.

    async def _act(self, watching: "asyncio.Task[None]") -> None:
        """Do to the models what the story says, each on its day; end where nobody watches any more."""
        days = self.story
        shutdown = days.shutdown.isoformat()
        acts: list[tuple[datetime, str, str, dict[str, str], str]] = [
            (
                days.announced_at,
                "announced",
                story.BASE,
                {"shutdown_date": shutdown},
                f"announces that {story.BASE} stops on {shutdown}, and every fine-tune of it",
            ),
            (
                days.vanishes_at,
                "vanished",
                f"{story.SURPRISE}/retire",
                {"as": "openai"},
                f"retires {story.SURPRISE} without a word",
            ),
            (
                days.dies_at,
                "stopped",
                f"{story.PLANNED}/retire",
                {"as": "openai"},
                f"retires {story.PLANNED}, as announced",
            ),
        ]
        for at, kind, path, body, text in acts:
            if not await self._until(at, watching):
                return
            await self._post(f"/sandbox/models/{path}", body)
            self._tell(Told(self._clock.now(), "vendor", kind, text))
        await self._until(days.ends, watching)

    async def _until(self, at: datetime, watching: "asyncio.Task[None]") -> bool:
        """Wait for a day of the story; False: somebody ended it before."""
        while self._clock.now() < at:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), ACT_EVERY_S)
            if self._stopping.is_set():
                return False
            self._stage.check()
            if watching.done():
                watching.result()
        return True

    # The watcher's part.

    async def _watch(self, events: StateStore) -> None:
        while True:
            await self._look(events)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self, events: StateStore) -> None:
        """Tell what is new, in the order in which it happened, and how things stand."""
        page = (await self._get(self._stage.url, "/metrics")).decode()
        told_of = [event for event in await events.events(limit=EVENTS) if event.event_id not in self._events]
        self._events.update(event.event_id for event in told_of)
        # A route moves once its model was verified to be gone, never before.
        moved_at = min((event.at for event in told_of if event.kind is EventKind.CUTOVER), default=None)
        news = [*first_seen(self._reasons, self._traffic.asked), *self._looks(page, moved_at or self._clock.now())]
        news += [Told(event.at, "gateway", event.kind.value, event.text) for event in told_of]
        for told in sorted(news, key=lambda told: told.at):
            self._tell(told)
        self._teller.scene(await self._scene(page))

    def _looks(self, page: str, at: datetime) -> list[Told]:
        """Tell of the gateway's own looks at models that may be gone."""
        before, self._probes = self._probes, probes_in(page)
        return [
            Told(at, "gateway", "verified", f"asked the provider itself: the model is {outcome}")
            for outcome, count in self._probes.items()
            if outcome in FOUND and count > before.get(outcome, 0.0)
        ]

    async def _scene(self, page: str) -> Scene:
        listed = orjson.loads(await self._get(self._stage.url, "/v1/models"))["data"]
        costs = costs_in(page)
        primaries = story.routes_document("")["routes"]
        at, asked = self._clock.monotonic(), self._traffic.asked
        return Scene(
            now=self._clock.now(),
            story=self.story,
            url=self._stage.url,
            speed=self._clock.speed,
            routes=tuple(
                route_now(row, primaries[row["id"]]["primary"], asked[row["id"]], costs.get(row["id"], {}), at)
                for row in listed
            ),
            told=tuple(self._told),
            sent=self._traffic.sent,
            failed=len(self._traffic.failures),
        )

    def _tell(self, told: Told) -> None:
        self._told.append(told)
        self._teller.told(told)

    # The end.

    async def _measured(self, database: Database) -> ending.Measured:
        """Compare until the ledger has what the provider billed, or has had long enough."""
        deadline = self._clock.monotonic() + AGREED_S
        while True:
            rows = await ending.ledger_rows(database, self._clock.now())
            bill = orjson.loads(await self._get(self._stage.sandbox_url, "/sandbox/bill"))["rows"]
            differing = ending.differences(rows, bill)
            if not differing or self._clock.monotonic() > deadline:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        asked = self._traffic.asked.values()
        return ending.Measured(
            requests=self._traffic.sent,
            streams=sum(each.streams for each in asked),
            failures=tuple(self._traffic.failures),
            second_tries=sum(each.second_tries for each in asked),
            rows=len(rows),
            billed=len(bill),
            differing=differing,
            dead_calls=ending.dead_calls(rows),
            probes=sum(row["kind"] == "probe" for row in rows),
            costs=ending.costs(rows),
        )
