"""What keys with a budget may still spend: set aside before a request is sent, counted when it is over.

Setting aside waits for the database; settling never does. What is to be settled is gathered for a moment and goes in
one transaction; while the database is away it waits here, and nothing more is set aside.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.config.callers import Caller
from gateway.execution.budget_words import away, exceeded
from gateway.ledger.entry import new_attempt_id
from gateway.ledger.journal import Journal
from gateway.store.database import DatabaseUnavailable
from gateway.store.settling import Charge
from gateway.store.spend import MOST_NANOUSD, InDoubt, SpendStore
from gateway.store.standings import room

PATIENCE_S: Final = 5.0
"""How long a request waits for the database to set its money aside."""
WAIT_S: Final = 0.5
"""How long a request that would fit into what is spent waits for what is held to be settled."""
LOOKS_S: Final = (0.02, 0.05, 0.1, 0.2)
GATHER_S: Final = 0.01
AT_ONCE: Final = 500
MOST_WAITING: Final = 20_000
"""Requests whose cost waits for the database; beyond that nothing more is set aside."""
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 2.0
DOUBT_S: Final = 70.0
"""After so long a statement whose answer was lost has been done or never will be: the database ends it after 60 s."""
SWEEP_EVERY_S: Final = 600.0
NOTHING: Final = Charge(0)
NOBODY: Final = ""

log = structlog.get_logger()


class DatabaseBudgets:
    """One replica's; the database's rows are what all of them share."""

    def __init__(self, store: Callable[[], SpendStore | None], journal: Journal, clock: Clock) -> None:
        """``store``: the open database's; None: it is not open yet. ``journal``: where this process's rows go."""
        self._store, self._journal, self._clock = store, journal, clock
        self._waiting: dict[str, tuple[str, Charge]] = {}
        """By hold: whose it is, and what it came to."""
        self._waiting_of: Counter[str] = Counter()
        self._doubtful: deque[tuple[float, str]] = deque()
        """Holds that may have been written although nobody heard of it, and when that is sure."""
        self._reserving = set[asyncio.Task[None]]()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        """Replaced by another each time that something was settled."""
        self._held = set[str]()

    @property
    def holds(self) -> int:
        """Requests of this process for which money is set aside."""
        return len(self._held)

    async def reserve(self, caller: Caller, nanousd: int) -> str:
        """Set money aside in the database; return the hold's id.

        A caller who leaves meanwhile leaves nothing behind.

        Raises:
            BudgetExceeded: spent, held and this are more than the key may spend.
            BudgetUnverifiable: the database is away.
        """
        hold_id, store = new_attempt_id(self._clock.now()), self._open()
        self._journal.has_holds = True
        task = asyncio.create_task(self._reserve(store, hold_id, caller, nanousd))
        self._reserving.add(task)
        task.add_done_callback(self._reserving.discard)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.shield(task)
        except BaseException as error:
            # Whether it was written will be known later, or not at all.
            task.add_done_callback(lambda task: self._abandoned(hold_id, caller, task))
            if isinstance(error, TimeoutError):
                raise away("it does not answer") from None
            raise
        self._held.add(hold_id)
        return hold_id

    async def raise_to(self, hold_id: str, caller: Caller, nanousd: int) -> None:
        """Set more aside for the same request. Raises as ``reserve`` does."""
        store = self._open()
        try:
            async with asyncio.timeout(PATIENCE_S):
                # Not to be cut off in the middle: what is held is settled by the hold's own row, raised or not.
                raised = await asyncio.shield(store.raise_to(hold_id, nanousd, caller.budget))
                if not raised:
                    raise exceeded(caller.budget, await store.standing(caller.id), nanousd)
        except DatabaseUnavailable as error:
            raise away(str(error)) from error
        except TimeoutError:
            raise away("it does not answer") from None

    def settle(self, hold_id: str, caller: Caller, charge: Charge) -> None:
        """Have a request's cost counted in the place of what was set aside, soon and once. Never raises."""
        self._add(hold_id, caller.id, charge)
        self._wake.set()

    async def run(self) -> None:
        """Settle, and look for what was lost; until cancelled."""
        await asyncio.gather(self._keep_settling(), self._keep_sweeping())

    async def close(self, deadline_s: float) -> None:
        """Settle what waits, as far as there is time; the rest is settled with the journal, by its rows."""
        try:
            async with asyncio.timeout(deadline_s):
                while self._reserving:
                    await asyncio.wait(set(self._reserving))
                while self._waiting:
                    await self._settle_some()
        except (TimeoutError, DatabaseUnavailable) as error:
            log.warning("budgets_not_settled", requests=len(self._waiting), error=str(error) or "out of time")
        except Exception:
            # Whatever it is, it must not keep the rest from being closed.
            log.exception("budgets_not_settled", requests=len(self._waiting))

    # Setting aside.

    async def _reserve(self, store: SpendStore, hold_id: str, caller: Caller, nanousd: int) -> None:
        until = asyncio.get_running_loop().time() + WAIT_S
        try:
            while not await store.reserve(hold_id, caller.id, nanousd, caller.budget, self._journal.name):
                await self._wait_for_room(store, caller, nanousd, until)
        except DatabaseUnavailable as error:
            raise away(str(error)) from error

    async def _wait_for_room(self, store: SpendStore, caller: Caller, nanousd: int, until: float) -> None:
        """Return once there is room, as far as one can see.

        What is over and not settled yet must not refuse anybody: a request waits, but only where it would fit if what
        is held cost nothing.

        Raises:
            BudgetExceeded: there is no room, nor will there be any soon.
        """
        loop, looks = asyncio.get_running_loop(), deque(LOOKS_S)
        while True:
            settled = self._settled
            standing = await store.standing(caller.id)
            left = room(standing, caller.budget, nanousd)
            now = loop.time()
            if any(rest + held < 0 for _, rest, held in left) or nanousd > MOST_NANOUSD or now >= until:
                raise exceeded(caller.budget, standing, nanousd)
            if all(rest >= 0 for _, rest, _ in left):
                return
            pause_s = min(until - now, looks.popleft() if looks else LOOKS_S[-1])
            if self._waiting_of[caller.id]:
                await _within(settled.wait(), pause_s)
            else:
                await asyncio.sleep(pause_s)

    def _open(self) -> SpendStore:
        store = self._store()
        if store is None:
            raise away("it is not open yet")
        if len(self._waiting) >= MOST_WAITING:
            raise away("it does not take what requests cost")
        return store

    def _abandoned(self, hold_id: str, caller: Caller, task: asyncio.Task[None]) -> None:
        """See to a hold that nobody waits for any more."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            self.settle(hold_id, caller, NOTHING)
        elif isinstance(error.__cause__, InDoubt):
            self.settle(hold_id, caller, NOTHING)
            self._doubtful.append((asyncio.get_running_loop().time() + DOUBT_S, hold_id))

    # Settling.

    async def _keep_settling(self) -> None:
        pause_s = 0.0
        while True:
            await _within(self._wake.wait(), self._until_next_doubt())
            self._look_at_doubts()
            await asyncio.sleep(max(pause_s, GATHER_S))
            self._wake.clear()
            try:
                while self._waiting:
                    await self._settle_some()
                pause_s = 0.0
            except DatabaseUnavailable as error:
                pause_s = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
                log.warning("budgets_not_settled", requests=len(self._waiting), error=str(error), retry_in_s=pause_s)
                self._wake.set()
            except Exception:
                # Nobody waits for this task: what it does not say is never heard of.
                pause_s = LONGEST_PAUSE_S
                log.exception("budgets_not_settled", requests=len(self._waiting))
                self._wake.set()

    def _add(self, hold_id: str, key_id: str, charge: Charge) -> None:
        if hold_id not in self._waiting:
            self._waiting_of[key_id] += 1
        self._waiting[hold_id] = (key_id, charge)

    async def _settle_some(self) -> None:
        store = self._store()
        if store is None:
            raise DatabaseUnavailable("the database is not open yet")
        batch = dict(islice(self._waiting.items(), AT_ONCE))
        await store.settle({hold_id: charge for hold_id, (_, charge) in batch.items()})
        for hold_id, taken in batch.items():
            if self._waiting.get(hold_id) is taken:
                del self._waiting[hold_id]
                self._waiting_of[taken[0]] -= 1
                if not self._waiting_of[taken[0]]:
                    del self._waiting_of[taken[0]]
            self._held.discard(hold_id)
        settled, self._settled = self._settled, asyncio.Event()
        settled.set()

    def _until_next_doubt(self) -> float | None:
        return max(0.0, self._doubtful[0][0] - asyncio.get_running_loop().time()) if self._doubtful else None

    def _look_at_doubts(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._doubtful and self._doubtful[0][0] <= now:
            self._add(self._doubtful.popleft()[1], NOBODY, NOTHING)

    async def _keep_sweeping(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_EVERY_S)
            store = self._store()
            try:
                if store is not None and (lost := await store.charge_lost()):
                    log.error("budget_holds_lost", holds=lost, why="their journals were not taken up within 24 hours")
            except DatabaseUnavailable as error:
                log.warning("budget_holds_not_looked_at", error=str(error))
            except Exception:
                log.exception("budget_holds_not_looked_at")


async def _within(waiting: Awaitable[object], seconds: float | None) -> None:
    """Wait for something, but no longer than this."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waiting
