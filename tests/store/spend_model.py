"""What keys may spend, as a person would reckon it: the oracle of the store's own statements."""

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from gateway.config.callers import Budget
from gateway.store.spend import LOST_AFTER

START = datetime(2027, 12, 30, 22, 0, tzinfo=UTC)
STEPS = (
    timedelta(),
    timedelta(seconds=1),
    timedelta(minutes=50),
    timedelta(hours=5),
    timedelta(hours=23),
    timedelta(days=1),
    timedelta(days=27),
    timedelta(days=31),
)


@dataclass
class Hold:
    key: str
    nanousd: int
    at: datetime
    day: date
    month: date


@dataclass
class Model:
    """Keys, holds, and every charge with the day and the month that it counts in."""

    now: datetime = START
    holds: dict[str, Hold] = field(default_factory=dict)
    charges: list[tuple[str, int, date, date]] = field(default_factory=list)
    latest: dict[str, date] = field(default_factory=dict)
    """The newest day that a key has seen: its windows do not go back."""

    def windows(self, key: str) -> tuple[date, date]:
        day = max(self.latest.get(key, date.min), self.now.date())
        return day, day.replace(day=1)

    def sums(self, key: str) -> tuple[int, int, int, int, int, int]:
        """Spent and held of the day, of the month, and in all."""
        day, month = self.windows(key)
        charges = [charge for charge in self.charges if charge[0] == key]
        holds = [hold for hold in self.holds.values() if hold.key == key]
        return (
            sum(cost for _, cost, of_day, _ in charges if of_day == day),
            sum(hold.nanousd for hold in holds if hold.day == day),
            sum(cost for _, cost, _, of_month in charges if of_month == month),
            sum(hold.nanousd for hold in holds if hold.month == month),
            sum(cost for _, cost, _, _ in charges),
            sum(hold.nanousd for hold in holds),
        )

    def fits(self, key: str, budget: Budget, more: int, without: Hold | None = None) -> bool:
        day, month = self.windows(key)
        taken = list(self.sums(key))
        if without is not None:
            taken[1] -= without.nanousd * (without.day == day)
            taken[3] -= without.nanousd * (without.month == month)
            taken[5] -= without.nanousd
        limits = (budget.day_nanousd, budget.month_nanousd, budget.total_nanousd)
        return all(limit is None or taken[2 * n] + taken[2 * n + 1] + more <= limit for n, limit in enumerate(limits))

    def reserve(self, hold_id: str, key: str, nanousd: int, budget: Budget) -> bool:
        if not self.fits(key, budget, nanousd):
            return False
        day, month = self.windows(key)
        self.latest[key] = day
        self.holds[hold_id] = Hold(key, nanousd, self.now, day, month)
        return True

    def raise_to(self, hold_id: str, nanousd: int, budget: Budget) -> bool:
        hold = self.holds.get(hold_id)
        if hold is None or hold.nanousd >= nanousd:
            return True
        if not self.fits(hold.key, budget, nanousd, without=hold):
            return False
        hold.nanousd, (hold.day, hold.month) = nanousd, self.windows(hold.key)
        self.latest[hold.key] = hold.day
        return True

    def settle(self, hold_id: str, cost: int, *, unknown: bool = False) -> int:
        hold = self.holds.pop(hold_id, None)
        if hold is None:
            return 0
        spent = max(cost, hold.nanousd) if unknown else cost
        self.charges.append((hold.key, spent, hold.day, hold.month))
        return 1

    def charge_lost(self) -> int:
        lost = [hold_id for hold_id, hold in self.holds.items() if hold.at < self.now - LOST_AFTER]
        return sum(self.settle(hold_id, 0, unknown=True) for hold_id in lost)


def budget_of(chance: random.Random) -> Budget:
    day, month, total = (chance.choice((None, chance.randint(0, most))) for most in (60, 90, 200))
    return Budget(day, month, total)
