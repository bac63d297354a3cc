import asyncio
import time
from dataclasses import dataclass, field

import pytest

from gateway.execution import sweeper as module
from gateway.execution.sweeper import Sweeper


@dataclass(eq=False)
class Waiting:
    """Counts how often it was looked after."""

    times: list[float] = field(default_factory=list)

    def sweep(self, now: float) -> None:
        self.times.append(now)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.001)


async def swept(waiting: Waiting, times: int) -> None:
    async with asyncio.timeout(5):
        while len(waiting.times) < times:  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.001)


async def test_what_waits_is_looked_after_with_the_loops_time_until_it_is_discarded() -> None:
    sweeper, first, second = Sweeper(), Waiting(), Waiting()
    sweeper.add(first)
    sweeper.add(second)
    await swept(first, 2)
    sweeper.discard(first)
    seen = len(first.times)
    await swept(second, len(second.times) + 2)
    assert len(first.times) == seen
    assert second.times == sorted(second.times)
    assert second.times[-1] <= asyncio.get_running_loop().time()
    sweeper.discard(second)


async def test_it_begins_to_tick_again_after_a_time_without_anything_to_look_after() -> None:
    sweeper, waiting, other = Sweeper(), Waiting(), Waiting()
    for one in (waiting, other):
        sweeper.add(one)
        await swept(one, 1)
        sweeper.discard(one)
        async with asyncio.timeout(5):
            while sweeper._ticking:  # noqa: ASYNC110 (nothing tells of it)
                await asyncio.sleep(0.001)
    assert other.times


async def test_discarding_what_is_not_there_does_no_harm() -> None:
    Sweeper().discard(Waiting())


async def test_one_that_raises_does_not_stop_the_ticks() -> None:
    class Unlucky(Waiting):
        def sweep(self, now: float) -> None:
            super().sweep(now)
            raise RuntimeError("out of luck")

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
    sweeper, unlucky = Sweeper(), Unlucky()
    sweeper.add(unlucky)
    await swept(unlucky, 3)
    sweeper.discard(unlucky)
    assert len(told) >= 2


async def test_when_the_loop_was_held_what_arrived_is_read_first_but_deadlines_are_kept() -> None:
    sweeper, waiting = Sweeper(), Waiting()
    sweeper.add(waiting)
    # Holds the loop on purpose, twice in a row.
    time.sleep(module.HELD_S + 0.05)  # noqa: ASYNC251
    sweeper._tick()
    assert waiting.times == [], "an answer may lie there unread"
    time.sleep(module.HELD_S + 0.05)  # noqa: ASYNC251
    sweeper._tick()
    assert len(waiting.times) == 1, "a loop that is always late keeps deadlines too"
    sweeper.discard(waiting)
