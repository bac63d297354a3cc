"""A model that comes and goes: nobody fails, and its route does not swing with it."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from fake_provider import GONE, FakeProvider, answers
from served_gateway import Serve

SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
STORY_S = 4 * 3600 if SOAK else 1200
MINUTE_S = 60.0


def every_two_seconds(alive: bool, served_by: str) -> bool:
    return not alive


def out_of_spite(alive: bool, served_by: str) -> bool:
    """Be there while nobody asks, and die as soon as the route is back."""
    return served_by == "fallback"


@pytest.mark.rig
@pytest.mark.parametrize(
    ("lives", "moves"),
    [
        pytest.param(every_two_seconds, 1, id="every two seconds: it is never good for a minute, and stays away"),
        pytest.param(out_of_spite, 6, id="out of spite: it comes back, and dies again, at most once a minute"),
    ],
)
async def test_a_flapping_model_moves_its_route_at_most_once_a_minute(
    serve: Serve, provider: FakeProvider, lives: Callable[[bool, str], bool], moves: int
) -> None:
    """``lives`` decides every two seconds; ``moves``: how many events there must be to show anything."""
    gateway = await serve()
    clock = gateway.clock
    began, alive = clock.monotonic(), True
    returned_at: list[float] = []
    served_by = (await gateway.chat()).headers["x-gateway-served-by"]
    clock.advance(1.0)
    await asyncio.sleep(1.0)
    # What sleeps while nothing happens: the agreement, the poller, the herald, and all that keep records.
    at_rest = clock.sleepers
    for second in range(STORY_S):
        if second % 2:
            alive = lives(alive, served_by)
            provider.models["tuned"] = answers if alive else GONE
            provider.listed = ["base", "tuned"] if alive else ["base"]
        answer = await gateway.chat()
        assert answer.status_code == 200
        before, served_by = served_by, answer.headers["x-gateway-served-by"]
        if (before, served_by) == ("fallback", "primary"):
            returned_at.append(clock.monotonic() - began)
        clock.advance(1.0)
        # What happens every second has happened: then all sleep. For a moment one may wait for something else.
        for _ in range(100):
            if clock.sleepers >= at_rest:
                break
            await asyncio.sleep(0.005)
        # The record of it all is not what this is about, and grows.
        del provider.calls[:]
    moved_at = event_times(gateway.database)
    print(f"{STORY_S} s of flapping: {len(moved_at)} events, {len(returned_at)} returns to the primary")
    assert len(moved_at) >= moves
    assert min((after - before for before, after in pairwise(moved_at)), default=MINUTE_S) >= MINUTE_S
    assert min((after - before for before, after in pairwise(returned_at)), default=MINUTE_S) >= MINUTE_S


def event_times(database: Path) -> list[float]:
    """When the route moved or came back, in seconds."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        query = "SELECT at FROM events WHERE kind IN ('cutover', 'return') AND route = 'reply' ORDER BY at"
        found = [at / 1e6 for (at,) in connection.execute(query)]
    connection.close()
    return found
