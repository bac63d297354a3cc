"""A workbench on a real database, pointed at a real sandbox, for tests of recordings."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.clock import Clock, SystemClock
from gateway.config.loader import load
from gateway.learning.recordings.inputs_file import Inputs, read_inputs
from gateway.learning.recordings.plan import Lengths, RecordingPlan, lengths, plan
from gateway.learning.recordings.recorder import Recorder
from gateway.learning.workbench import Workbench
from gateway.store.database import Database
from gateway.store.migrate import migrate
from gateway.store.recordings import Recording

ROUTE = "forum-reply"


@asynccontextmanager
async def opened(routes: Path, file: Path, clock: Clock | None = None) -> AsyncIterator[Workbench]:
    """Open the bench on a SQLite file, made and migrated where that is due."""
    url = f"sqlite:///{file}"
    await asyncio.to_thread(migrate, url)
    database = await Database.open(url)
    try:
        loaded = load(routes, environ=os.environ)
        async with Workbench.open(loaded.routes, database, os.environ, clock or SystemClock()) as bench:
            yield bench
    finally:
        await database.close()


def inputs_of(file: Path) -> Inputs:
    """Read a file of inputs."""
    return read_inputs(file.read_bytes(), file.name)


async def recordings(bench: Workbench) -> list[Recording]:
    """Return everything that is recorded of the primary."""
    primary = bench.route(ROUTE).primary
    assert primary is not None
    return await bench.recordings.of_route(ROUTE, primary.provider.name, primary.model)


async def planned(bench: Workbench, file: Path, second_samples: float = 0.2) -> RecordingPlan:
    """Return what is still to be asked of a file."""
    return plan(inputs_of(file), await recordings(bench), second_samples)


def recorder(
    bench: Workbench,
    *,
    usual: Lengths | None = None,
    on_progress: Callable[[Any], object] = lambda run: None,
    **how: Any,
) -> Recorder:
    """Return a recorder of the route's primary, in a hurry unless told otherwise."""
    route = bench.route(ROUTE)
    assert route.primary is not None
    usual = usual or lengths((), ())
    given: dict[str, Any] = {"cap_nanousd": None, "rate_per_s": 1000.0, "concurrency": 4}
    return Recorder(bench, route, route.primary, usual, on_progress=on_progress, **given | how)
