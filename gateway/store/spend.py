"""What keys with a budget have spent, and what is set aside for requests under way: exact, however many replicas ask.

One row a key. Money is set aside by one statement that looks and takes at once; what became of it is counted by
whoever deletes the hold, once. Days and months are those of the database's clock, in UTC, and never go back. A hold
counts in the day and the month in which it was made.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import BigInteger, literal_column, select, update
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.config.callers import Budget
from gateway.store.database import Database, DatabaseUnavailable, collided, unavailable_as_such, where, writing
from gateway.store.settling import AT_ONCE, Charge, settle_holds
from gateway.store.spend_sql import NOW, hold_sql, microseconds_sql, reserve_sql, windows_sql
from gateway.store.standings import Standing, read_standings, room, standing_of, today_of
from gateway.store.tables_keys import budget_holds, key_spend

NO_LIMIT: Final = 1 << 62
MOST_NANOUSD: Final = 1 << 60
"""More than this, a billion dollars, is not set aside: the database's sums must hold it."""
LOST_AFTER: Final = timedelta(hours=24)
_TRIES: Final = 8
_PAUSE_S: Final = 0.02
_CONNECTIONS: Final = 6
"""Of the database's pool, which the ledger and the replicas' agreement need, too."""

_T = TypeVar("_T")
_s, _h = key_spend.c, budget_holds.c


class InDoubt(DatabaseUnavailable):
    """The connection broke behind a statement that was sent: it may have been done."""


@dataclass(slots=True, eq=False)
class _Wanted:
    """One sum to be set aside."""

    given: tuple[Any, ...]
    hold_id: str
    journal: str
    is_taken: bool | None = None
    """Whether there was room; None: nobody has looked."""


class SpendStore:
    """Sets aside, and settles. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database, now_sql: str | None = None) -> None:
        """``now_sql``: the database's present, as its own SQL says it."""
        self._database = database
        self._dialect = database.engine.dialect.name
        now = now_sql or NOW[self._dialect]
        self._windows = windows_sql(self._dialect, now)
        self._reserve_sql = reserve_sql(self._dialect, now)
        self._hold_sql = hold_sql(now)
        self._now_us = literal_column(microseconds_sql(self._dialect, now), BigInteger)
        # Writers of one process take turns: SQLite would have them look again and again.
        self._turn = asyncio.Lock()
        self._wanted: list[_Wanted] = []
        """What is to be set aside in the next transaction on SQLite, where each costs a sync of the disk."""
        self._connections = asyncio.Semaphore(_CONNECTIONS)

    async def reserve(self, hold_id: str, key_id: str, nanousd: int, budget: Budget, journal: str) -> bool:
        """Set money aside under a new id, unless that would pass a limit; False: it would, and nothing has changed.

        ``journal``: the name of whose rows will tell what became of it. Raises ``InDoubt`` where it may be set aside
        all the same.
        """
        if nanousd > MOST_NANOUSD:
            return False
        given = (key_id, nanousd, *_limits(budget))
        if self._dialect == "postgresql":
            return await self._reserve_at_once((*given, hold_id, journal))
        wanted = _Wanted(given, hold_id.replace("-", ""), journal)
        self._wanted.append(wanted)
        try:
            return await self._tried(lambda: self._reserve_together(wanted))
        finally:
            if wanted in self._wanted:
                self._wanted.remove(wanted)

    async def raise_to(self, hold_id: str, nanousd: int, budget: Budget) -> bool:
        """Set more aside for a request, in all ``nanousd``, in the windows of now; False: a limit would be passed.

        A hold that is gone is no reason to refuse: what it was for is counted already.
        """
        if nanousd > MOST_NANOUSD:
            return False
        return await self._tried(lambda: self._raise_in_turn(hold_id, nanousd, budget))

    async def settle(self, charges: Mapping[str, Charge]) -> int:
        """Count what requests came to in the place of what was set aside; a hold that is gone was counted before.

        Returns how many were there.
        """

        async def settled() -> int:
            async with writing(self._database) as connection:
                return await settle_holds(connection, charges)

        return await self._tried(settled)

    async def charge_lost(self, age: timedelta = LOST_AFTER) -> int:
        """Count holds in full whose journal nobody has taken up for so long; return how many those were."""
        before = self._now_us - age // timedelta(microseconds=1)

        async def charged() -> int:
            async with writing(self._database) as connection:
                old = (await connection.execute(select(_h.hold_id).where(_h.held_at < before).limit(AT_ONCE))).scalars()
                return await settle_holds(connection, {hold_id: Charge(0, unknown=True) for hold_id in old})

        total = 0
        while count := await self._tried(charged):
            total += count
        return total

    async def standings(self, key_ids: Sequence[str]) -> dict[str, Standing]:
        """Return what keys have spent and hold now, by their ids; of a key that never spent, zeros."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._connections, self._database.engine.connect() as connection:
                today, month = await today_of(connection, self._windows)
                known = await read_standings(connection, today, month, key_ids)
        return {key_id: known.get(key_id) or Standing(today, 0, 0, month, 0, 0, 0, 0) for key_id in key_ids}

    async def standing(self, key_id: str) -> Standing:
        """Return what one key has spent and holds now."""
        return (await self.standings([key_id]))[key_id]

    async def _reserve_at_once(self, given: tuple[Any, ...]) -> bool:
        async def reserved() -> bool:
            async with self._connections, self._database.engine.connect() as connection:
                # One statement is a transaction of its own: without the trips that begin and end one.
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                try:
                    with unavailable_as_such(where(self._database.engine.url)):
                        return (await connection.exec_driver_sql(self._reserve_sql, given)).first() is not None
                except DatabaseUnavailable as error:
                    raise InDoubt(str(error)) from error

        return await self._tried(reserved, in_turn=False)

    async def _reserve_together(self, wanted: "_Wanted") -> bool:
        """Set aside what this and all who wait for their turn want, in one transaction, one after the other."""
        if wanted.is_taken is None:
            together, self._wanted = self._wanted, []
            try:
                async with writing(self._database) as connection:
                    found = [await self._reserve_one(connection, one) for one in together]
            except BaseException:
                self._wanted = together + self._wanted
                raise
            for one, is_taken in zip(together, found, strict=True):
                one.is_taken = is_taken
        return bool(wanted.is_taken)

    async def _reserve_one(self, connection: AsyncConnection, wanted: "_Wanted") -> bool:
        taken = (await connection.exec_driver_sql(self._reserve_sql, wanted.given)).first()
        if taken is not None:
            hold = (wanted.hold_id, *wanted.given[:2], *taken, wanted.journal)
            await connection.exec_driver_sql(self._hold_sql, hold)
        return taken is not None

    async def _raise_in_turn(self, hold_id: str, nanousd: int, budget: Budget) -> bool:
        async with writing(self._database) as connection:
            query = select(budget_holds).where(_h.hold_id == hold_id)
            hold = (await connection.execute(query.with_for_update())).mappings().first()
            if hold is None or hold["nanousd"] >= nanousd:
                return True
            spend = select(key_spend).where(_s.key_id == hold["key_id"]).with_for_update()
            row = (await connection.execute(spend)).mappings().one()
            now = standing_of(row, *await today_of(connection, self._windows))
            # It moves into the windows of now, with all of it.
            in_day, in_month = (hold[name] == getattr(now, name) for name in ("day", "month"))
            now = now._replace(
                day_held=now.day_held + nanousd - hold["nanousd"] * in_day,
                month_held=now.month_held + nanousd - hold["nanousd"] * in_month,
                total_held=now.total_held + nanousd - hold["nanousd"],
            )
            if any(left < 0 for _, left, _ in room(now, budget, 0)):
                return False
            await connection.execute(update(key_spend).where(_s.key_id == hold["key_id"]).values(now._asdict()))
            await connection.execute(
                update(budget_holds).where(_h.hold_id == hold_id).values(nanousd=nanousd, day=now.day, month=now.month)
            )
            return True

    async def _tried(self, work: Callable[[], Awaitable[_T]], *, in_turn: bool = True) -> _T:
        """Do a transaction; again, where it stood in another's way, or found SQLite's file held."""
        for tried in range(1, _TRIES + 1):
            try:
                with unavailable_as_such(where(self._database.engine.url)):
                    try:
                        if not in_turn or self._dialect == "postgresql":
                            return await work()
                        async with self._turn:
                            return await work()
                    except DBAPIError as error:
                        held = isinstance(error, OperationalError) and "locked" in str(error.orig)
                        if tried == _TRIES or not (collided(error) or held):
                            raise
            except DatabaseUnavailable:
                raise
            await asyncio.sleep(tried * _PAUSE_S)
        raise AssertionError("the last try returns or raises")


def _limits(budget: Budget) -> tuple[int, int, int]:
    limits = (budget.day_nanousd, budget.month_nanousd, budget.total_nanousd)
    day, month, total = (NO_LIMIT if limit is None else min(limit, NO_LIMIT) for limit in limits)
    return day, month, total
