"""What pages read from the database: beside the gateway's loop, shared by all who look, and bounded in time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from gateway.clock import Clock
from gateway.store.database import Database, DatabaseUnavailable, to_async_url, where

FRESH_S: Final = 10.0
"""So long what was read is shown again."""
AWAY_S: Final = 2.0
"""So long nobody tries a database again that was away."""
READ_S: Final = 15.0
"""For one reading; a page that takes longer says so."""
MOST_KEPT: Final = 256
THREADS: Final = 2

_T = TypeVar("_T")
Ask = Callable[[Database], Awaitable[_T]]


@dataclass(slots=True)
class _Kept:
    """A reading that is under way, or was made."""

    answer: "asyncio.Future[Any]"
    until: float | None = None
    """Monotonic; None: it is under way."""


class PageData:
    """Reads in threads of its own, each with a loop and an engine of its own.

    A report that merges a million sketches costs processor time, which the gateway's loop then shares; it never waits
    for it.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pages")
        self._kept: dict[Hashable, _Kept] = {}

    async def read(self, key: Hashable, ask: Ask[_T], *, fresh_s: float = FRESH_S) -> _T:
        """Return what ``ask`` returns of the database; for ``fresh_s`` whoever has the same key gets the same.

        ``key`` names the question with everything it depends on, such as ``("cost", 7, "team")``.

        Raises ``DatabaseUnavailable``: it cannot be reached, is another version's, nothing was kept in it yet, or it
        did not answer in time.
        """
        now = self._clock.monotonic()
        kept = self._kept.get(key)
        if kept is None or (kept.until is not None and kept.until <= now):
            kept = self._kept[key] = _Kept(asyncio.ensure_future(self.ask(ask)))
            kept.answer.add_done_callback(lambda answer: self._made(kept, answer, fresh_s))
            self._forget(now)
        # One reader who leaves must not take the answer from the others.
        answer: _T = await asyncio.shield(kept.answer)
        return answer

    async def ask(self, ask: Ask[_T]) -> _T:
        """Ask anew, and keep nothing: for what changes something, or must not be a moment old."""

        async def alone() -> _T:
            try:
                async with asyncio.timeout(READ_S):
                    return await self._opened(ask)
            except TimeoutError:
                raise DatabaseUnavailable(f"it did not answer within {READ_S:g} s") from None

        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: asyncio.run(alone()))

    async def _opened(self, ask: Ask[_T]) -> _T:
        database = await Database.open_existing(self.url)
        if database is None:
            raise DatabaseUnavailable(f"nothing was kept in {where(to_async_url(self.url))} yet")
        try:
            return await ask(database)
        finally:
            await database.close()

    def _made(self, kept: _Kept, answer: "asyncio.Future[Any]", fresh_s: float) -> None:
        failed = answer.cancelled() or answer.exception() is not None
        kept.until = self._clock.monotonic() + (min(AWAY_S, fresh_s) if failed else fresh_s)

    def _forget(self, now: float) -> None:
        """Drop what is stale once there is much of it: questions hold dates, so there is no end of them."""
        if len(self._kept) > MOST_KEPT:
            self._kept = {key: kept for key, kept in self._kept.items() if kept.until is None or kept.until > now}

    def close(self) -> None:
        """Take no more questions; what is under way ends by its own limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)
