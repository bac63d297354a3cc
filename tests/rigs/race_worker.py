"""One of several replicas that race: finds, once per line on stdin, that the model is gone or back, and agrees on it.

What it runs is the product's own: the board, the agreement, the store. Only the looking at a provider is left out. Its
clock stands still but for two minutes before each round, so that no change comes too soon after the last one.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fake_clock import FakeClock

from gateway.cli.logs import configure_logs
from gateway.config.loader import load
from gateway.execution.agreement import Agreement
from gateway.execution.prepared import Snapshot
from gateway.execution.target_board import TargetBoard
from gateway.ledger.entry import new_attempt_id
from gateway.metrics import Metrics
from gateway.policy.announcements import Event, Notice
from gateway.policy.messages import notices_for
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.reasons import Availability
from gateway.store.database import Database
from gateway.store.states import RouteMove, StateStore

BETWEEN_ROUNDS_S = 120.0


class CountedStore(StateStore):
    """Counts how often another replica was faster."""

    lost = 0

    async def move_target(self, *args: Any, **named: Any) -> bool:
        moved = await super().move_target(*args, **named)
        self.lost += not moved
        return moved

    async def move_routes(self, moves: Sequence[RouteMove], **named: Any) -> list[RouteMove]:
        made = await super().move_routes(moves, **named)
        self.lost += len(made) < len(moves)
        return made


async def nothing() -> None:
    """Take over no dates: there is no provider."""


async def race(url: str, routes_file: Path, instance: str) -> None:
    clock, metrics, client = FakeClock(), Metrics(), HttpClient()
    routes = load(routes_file, environ={}).routes
    upstreams = {name: Upstream(each, client, {}, clock) for name, each in routes.providers.items()}
    snapshot = Snapshot(routes, upstreams, metrics=metrics, clock=clock)
    board = TargetBoard(clock, lambda target, carefully: None)
    database = await Database.open(url)
    store = CountedStore(database, instance)

    def announce(events: Sequence[Event]) -> Sequence[Notice]:
        now: datetime = clock.now()
        return notices_for(events, routes.webhooks, at=now, new_id=new_attempt_id)

    agreement = Agreement(
        board=board,
        snapshot=lambda: snapshot,
        store=lambda: store,
        announce=announce,
        changed=lambda key: None,
        doubt=lambda key: None,
        dates_polled=nothing,
        clock=clock,
        metrics=metrics,
        instance=instance,
    )
    primary = next(iter(routes.routes.values())).primary
    assert primary is not None
    key = (primary.provider.name, primary.model)
    await agreement.tick()
    say("ready")
    # Blocking is what is wanted: all are let go by one write each, and nothing else happens here.
    for line in sys.stdin:
        clock.advance(BETWEEN_ROUNDS_S)
        agreement.found(key, Availability(line.strip()), board.agreed_version(key))
        await agreement.tick()
        # Who lost follows now at the latest.
        await agreement.tick()
        say(f"{board.agreed_version(key)} {board.availability(primary)} {store.lost}")
    await database.close()


def say(text: str) -> None:
    sys.stdout.write(f"{text}{os.linesep}")
    sys.stdout.flush()


if __name__ == "__main__":
    configure_logs("error")
    asyncio.run(race(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
