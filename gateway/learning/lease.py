"""One command at a time: two that ask the same questions would pay for them twice."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from gateway.clock import Clock
from gateway.errors import ConfigError
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.leases import LeaseStore

LASTS_S: Final = 60.0
"""Of a process that is killed, so long is the next one held up."""


class Lease:
    """A lease that is ours."""

    def __init__(self, store: LeaseStore, clock: Clock, name: str, holder: str) -> None:
        self._store, self._clock, self._name, self._holder = store, clock, name, holder

    async def renew(self) -> None:
        """Make sure that it is still ours, after something that held up everything, such as a question to a person.

        Raises:
            ConfigError: it ran out, and another command took it.
            DatabaseUnavailable: nobody can tell.
        """
        if not await self._store.renew(self._name, self._holder, self._clock.now(), LASTS_S):
            raise ConfigError(
                f"another `{_command(self._name)}` has begun, since this one stood still for a minute or more; what "
                "was answered is kept: give the command again when the other has ended"
            )

    async def keep_renewed(self) -> None:
        """Renew it for ever. Raises ``ConfigError`` as ``renew``; while the database is away it is tried again."""
        while True:
            await self._clock.sleep(LASTS_S / 3)
            with suppress(DatabaseUnavailable):
                await self.renew()


@asynccontextmanager
async def held(database: Database, clock: Clock, name: str) -> AsyncIterator[Lease]:
    """Hold the lease ``record:ROUTE`` or ``evaluate:ROUTE`` while the body works; the body is cancelled if it is lost.

    Raises:
        ConfigError: another command has it, or took it when this one had stood still for longer than it lasts.
        DatabaseUnavailable: it could not be taken.
    """
    store, worker = LeaseStore(database), asyncio.current_task()
    assert worker is not None
    since = clock.now()
    holder = f"process {os.getpid()} on {socket.gethostname()}, since {since:%Y-%m-%d %H:%M:%S} UTC"
    other = await store.take(name, holder, since, LASTS_S)
    if other is not None:
        raise ConfigError(
            f"another `{_command(name)}` is at work (by {other}); wait for it, or after a crash up to a minute"
        )
    lease = Lease(store, clock, name, holder)
    renewing = asyncio.create_task(lease.keep_renewed(), name=f"lease {name}")
    lost = _Lost(worker)
    renewing.add_done_callback(lost.told)
    try:
        yield lease
    except asyncio.CancelledError:
        if lost.why is None:
            raise
        worker.uncancel()
        raise lost.why from None
    finally:
        lost.matters = False
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        with suppress(DatabaseUnavailable):
            await store.release(name, holder)


class _Lost:
    """Cancels the work when renewing has failed for good."""

    def __init__(self, worker: asyncio.Task[object]) -> None:
        self._worker, self.matters = worker, True
        self.why: BaseException | None = None

    def told(self, renewing: asyncio.Task[None]) -> None:
        if self.matters and not renewing.cancelled() and (why := renewing.exception()) is not None:
            self.why = why
            self._worker.cancel()


def _command(name: str) -> str:
    command, _, route = name.partition(":")
    return f"gateway {command} {route}"
