"""A route's money for rehearsals today: a lease on the sum that all replicas share, spent here without asking."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

from gateway.clock import Clock
from gateway.store.rehearsals import RehearsalStore

LEASES_PER_DAY: Final = 100
"""A lease is a hundredth of the day's sum: that much a replica that is killed takes along."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A sum taken out of a day's lease, until it is known what was spent."""

    day: date
    nanousd: int


class Allowance:
    """One route's. What is spent never passes the day's sum by more than one rehearsal's error of estimate each."""

    def __init__(self, route: str, store: Callable[[], RehearsalStore | None], clock: Clock) -> None:
        self._route, self._store, self._clock = route, store, clock
        self._day: date | None = None
        self._left = 0

    def take(self, nanousd: int) -> Reservation | None:
        """Take a sum out of the lease, if it is there; no I/O."""
        today = self._clock.now().date()
        if today != self._day or self._left < nanousd:
            return None
        self._left -= nanousd
        return Reservation(today, nanousd)

    def settle(self, reservation: Reservation, spent: int) -> None:
        """Put back what was taken too much, or take what was too little; of a day that is over, neither."""
        if reservation.day == self._day:
            self._left += reservation.nanousd - spent

    async def secure(self, nanousd: int, limit_nanousd: int) -> Reservation | None:
        """Take a sum, with a new lease where the old one does not hold it; None: the day's money is spent.

        Without a database nothing is spent: nobody could say what the other replicas do. May raise
        ``DatabaseUnavailable``.
        """
        while (taken := self.take(nanousd)) is None:
            # What was leased may be taken by somebody else, or its day be over, before this one gets to it.
            if not await self.top_up(nanousd, limit_nanousd):
                return None
        return taken

    async def top_up(self, needed: int, limit_nanousd: int) -> bool:
        """Lease more, so that ``needed`` is there; False where the day's sum does not hold it."""
        store, today = self._store(), self._clock.now().date()
        if store is None:
            return False
        if self._day != today:
            self._day, self._left = today, 0
        missing = needed - self._left
        if missing <= 0:
            return True
        for sum_ in (max(missing, limit_nanousd // LEASES_PER_DAY), missing):
            if await store.reserve(self._route, today, sum_, limit_nanousd):
                # A lease of yesterday's money is not spent today.
                if self._day == today:
                    self._left += sum_
                return True
        return False

    async def close(self) -> None:
        """Give back what is left. May raise ``DatabaseUnavailable``."""
        store = self._store()
        if store is not None and self._day is not None and self._left:
            await store.release(self._route, self._day, self._left)
            self._left = 0
