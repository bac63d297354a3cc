"""Gateways are killed at random and at every named point; by the bill, nothing is lost and nothing is double."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pytest
from bill_checks import check, read_ledger
from failpoints import NAMES, point_of
from gateway_nursery import nursery
from kill_load import load
from kill_rig import SMALL_SEGMENT_BYTES, SOAK, KilledGateway, chance, closed, gateways, metered_sandbox, sqlite_url
from postgres_server import RunningPostgres
from sandbox_server import RunningSandbox

pytestmark = pytest.mark.rig

KILLS = 2_500 if SOAK else 62
"""Of each database."""
CALLERS = 12
REACHED_S = 4.0
STOPPED_S = 12.0
"""A stop waits for the answers that run."""
TRIES = 3


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with metered_sandbox() as running:
        yield running


class Kills:
    """Which death is next, for two gateways that die beside each other."""

    def __init__(self, count: int, dice: random.Random, names: list[str]) -> None:
        self._dice, self._left = dice, count
        self._all = names
        self._names = dice.sample(names, len(names))
        self.tried: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        self.at_random = 0

    @property
    def done(self) -> int:
        return self.at_random + self.reached.total()

    def next(self) -> str | None:
        """Return the failpoint to die at next; None: die at a random moment."""
        if not self._names and self._left - self.done > len(self._all):
            self._names = self._dice.sample(self._all, len(self._all))
        if self._names and self._dice.random() < 0.85:
            return self._names.pop()
        return None

    @property
    def over(self) -> bool:
        return self.done >= self._left and not self._names

    def missed(self, name: str) -> None:
        """Try again later: chance may have it that nothing passed there."""
        self.tried[name] += 1
        if self.tried[name] < TRIES:
            self._names.insert(0, name)


async def die_again_and_again(gateway: KilledGateway, kills: Kills, dice: random.Random) -> None:
    while not kills.over:
        name = kills.next()
        if name is None:
            child = await gateway.start()
            await asyncio.sleep(dice.uniform(0.0, 1.5))
            await gateway.killed()
            kills.at_random += 1
            continue
        point = point_of(name)
        child = await gateway.start(failpoint=name, count=dice.randint(1, point.most))
        if await gateway.ready() and point.at_stop:
            child.send(15)
        try:
            await child.end(STOPPED_S if point.at_stop else REACHED_S)
        except TimeoutError:
            await gateway.killed()
        reached = gateway.reached.read_text().splitlines() if gateway.reached.exists() else []
        gateway.reached.unlink(missing_ok=True)
        if reached == [name]:
            kills.reached[name] += 1
        else:
            kills.missed(name)
            kills.at_random += 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_gateways_are_killed_again_and_again_and_every_attempt_is_in_the_ledger_once(
    kind: str, sandbox: RunningSandbox, memory_path: Path, request: pytest.FixtureRequest
) -> None:
    dice = chance(6)
    url = sqlite_url(memory_path)
    if kind == "postgresql":
        postgres: RunningPostgres = request.getfixturevalue("postgres")
        url = await asyncio.to_thread(postgres.migrated_database)
    began = time.monotonic()
    names = [name for name in NAMES if not point_of(name).first_start]
    kills = Kills(KILLS, dice, names)
    async with nursery() as children:
        pair = gateways(children, memory_path, sandbox, url, 2)
        for gateway in pair:
            gateway.segment_bytes = SMALL_SEGMENT_BYTES
        if kind == "sqlite":
            await killed_while_migrating(pair[0], kills)
        async with load(pair, dice, callers=CALLERS) as seen:
            await asyncio.gather(
                *(die_again_and_again(gateway, kills, random.Random(dice.random())) for gateway in pair)
            )
            for gateway in pair:
                await gateway.started()
        await closed(pair[0], pair[1:], sandbox)
    found = check(sandbox.sandbox.provider.bill.rows(), await read_ledger(url), seen.calls)
    print(
        f"{kind}: {kills.done} kills in {time.monotonic() - began:.0f} s, {kills.at_random} at random, the others at "
        f"{len(kills.reached)} points; {len(seen.ended)} answers seen to their end, {len(seen.failed)} cut; {found}"
    )
    cut = Counter((call.status, call.code) for call in seen.failed)
    print(f"ready after {mean(s for gateway in pair for s in gateway.ready_s):.2f} s; cut {cut}; tried {kills.tried}")
    missed = [name for name in names if not kills.reached[name]]
    assert not missed, f"never reached: {missed}"
    assert kills.done >= KILLS
    assert len(seen.ended) > kills.done


async def killed_while_migrating(gateway: KilledGateway, kills: Kills) -> None:
    """Die at each step of the first start's migration; each start goes on where the last one died."""
    count = 0
    for name in [name for name in NAMES if point_of(name).first_start]:
        for nth in (1, 2):
            child = await gateway.start(failpoint=name, count=nth)
            await gateway.ready()
            assert child.ended.done(), f"{name} was not reached"
            kills.reached[name] += 1
            count += 1
    assert count >= 4
