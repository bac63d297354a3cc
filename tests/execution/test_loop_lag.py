import asyncio
import time

from gateway.execution.loop_lag import EVERY_S, LoopLag


def test_before_it_runs_there_is_no_lag() -> None:
    assert LoopLag().worst_s() == 0.0


async def test_a_handler_that_blocks_is_seen() -> None:
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    began = time.monotonic()
    await asyncio.sleep(0)
    # Blocks on purpose: that is what is measured.
    time.sleep(EVERY_S + 0.3)  # noqa: ASYNC251
    # Its sleep is over by now: it ends at the next turn of the loop.
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 0.25 < lag.worst_s() < time.monotonic() - began
