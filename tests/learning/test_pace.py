import asyncio
from itertools import pairwise

import pytest
from fake_clock import FakeClock

from gateway.learning.pace import Pace, Purse


def test_a_purse_counts_what_is_in_flight() -> None:
    purse = Purse(100, spent=50, set_aside=30)
    assert purse.holds(20)
    assert not purse.holds(21)
    assert Purse(None, spent=10**18).holds(10**18)


@pytest.mark.parametrize("rate", [0.5, 2.0, 40.0])
async def test_no_more_start_than_the_rate_allows(rate: float) -> None:
    clock = FakeClock()
    pace = Pace(rate, clock)
    started: list[float] = []

    async def start() -> None:
        await pace.turn()
        started.append(clock.monotonic())

    tasks = [asyncio.create_task(start()) for _ in range(10)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        clock.advance(0.1 / rate)
    assert all(later - earlier >= 0.999 / rate for earlier, later in pairwise(started))
    assert started[-1] <= 9 * 1.2 / rate, "nor much fewer"


async def test_a_pause_holds_up_everybody() -> None:
    clock = FakeClock()
    pace = Pace(10.0, clock)
    await pace.turn()
    waiting = [asyncio.create_task(pace.turn()) for _ in range(3)]
    await asyncio.sleep(0)
    pace.pause(20.0)
    for _ in range(190):
        clock.advance(0.1)
        await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    for _ in range(30):
        clock.advance(0.1)
        await asyncio.sleep(0)
    assert all(task.done() for task in waiting)
