"""Keys, budgets and limits against a model in plain Python: any order of changes, calls and moves of the clock.

Two replicas share a database: one makes the changes, the other hears of them when it looks. Guard, ring, keeper, stores
and limits are the real ones; what the model says is written from what is promised, and not from how it is done.
"""

import asyncio
import os
import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fake_clock import FakeClock
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from migrated_database import migrated
from sqlalchemy import text

from gateway.api.guard import Guard
from gateway.clock import time_ordered_id
from gateway.config.callers import Budget, Caller
from gateway.errors import Conflict, LimitReached, Unauthenticated
from gateway.execution.key_file import KeyFile
from gateway.execution.key_keeper import KeyKeeper
from gateway.execution.key_ring import KeyRing
from gateway.execution.rate_limits import LimitsHere
from gateway.metrics import Metrics
from gateway.store.database import Database
from gateway.store.keys import KeyStore
from gateway.store.spend import Charge, SpendStore

pytestmark = pytest.mark.rig

PEPPER = b"p" * 32
SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
BY = {"by": "admin", "through": "api"}
START = datetime(2026, 11, 30, 22, tzinfo=UTC)
"""The end of a day and of a month is near."""
LOST = timedelta(hours=24)


@dataclass
class Bucket:
    """What has not drained away yet, in seconds; all figures of these stories divide evenly."""

    ahead_s: Fraction = Fraction(0)

    def wait_s(self, amount: int, per_minute: int, burst: int) -> Fraction:
        cost = Fraction(60 * amount, per_minute)
        return max(Fraction(0), self.ahead_s + cost - max(Fraction(60 * burst, per_minute), cost))

    def add(self, amount: int, per_minute: int) -> None:
        self.ahead_s += Fraction(60 * amount, per_minute)


@dataclass
class Key:
    """What was made of one key, by everything that was said."""

    caller: Caller
    current: str
    old: tuple[str, datetime] | None = None
    revoked: bool = False
    spent: list[tuple[int, date]] = field(default_factory=list)

    def opens(self) -> dict[str, Caller]:
        """What its callers may send, and as whom."""
        if self.revoked:
            return {}
        found = {self.current: self.caller}
        if self.old is not None:
            old, until = self.old
            found[old] = replace(self.caller, expires_at=min(until, self.caller.expires_at or until))
        return found


@dataclass
class Hold:
    key: str
    nanousd: int
    day: date
    at: datetime


@dataclass
class Replica:
    """One replica, and what the model says that it knows."""

    keeper: KeyKeeper
    guard: Guard
    limits: LimitsHere
    known: dict[str, Caller] = field(default_factory=dict)
    buckets: dict[str, tuple[Bucket, Bucket]] = field(default_factory=dict)


limits = st.fixed_dictionaries(
    {
        "requests_per_minute": st.sampled_from([None, 6, 60]),
        "tokens_per_minute": st.sampled_from([None, 600, 6000]),
    }
)
# Few and even, so that what just fits, and what just does not, come up again and again.
sums = st.sampled_from([None, 0, 50, 100, 200])
budgets = st.builds(Budget, day_nanousd=sums, month_nanousd=sums, total_nanousd=sums)
ages = st.sampled_from([None, 1, 24])


calls = st.tuples(
    st.sampled_from(["current", "current", "current", "old", "any"]),
    st.sampled_from([0, 100, 300, 600, 700]),
    st.sampled_from([0, 50, 100]),
    st.sampled_from([0, 50, 100]),
)
"""With which key; how many tokens at most, and how many percent of them in the end; what it may cost at most."""


class Keys(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock(START)
        self.keys: dict[str, Key] = {}
        self.texts: list[str] = []
        self.holds: dict[str, Hold] = {}
        self.over: list[str] = []
        self.number = count()
        self.moved = False
        """Whether money or the clock has moved since the sums were looked at."""

    def do(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize(budget=budgets, limits=limits)
    def open(self, budget: Budget, limits: dict[str, int | None]) -> None:
        self.directory = TemporaryDirectory()
        path = shutil.copy(self.template, Path(self.directory.name) / "gateway.db")
        self.do(self._open(f"sqlite:///{path}"))
        for number in range(len(self.replicas)):
            self._heard(number)
        self.create(limits, budget, None)
        self._heard(1)

    async def _open(self, url: str) -> None:
        self.database = await Database.open(url)
        async with self.database.engine.begin() as connection:
            await connection.execute(text("CREATE TABLE story_clock (now TEXT)"))
            await connection.execute(text("INSERT INTO story_clock VALUES ('')"))
        await self._set_clock()
        self.store = KeyStore(self.database, self.clock)
        self.spend = SpendStore(self.database, "(SELECT now FROM story_clock)")
        self.replicas = [self._replica(name) for name in ("one", "other")]

    def _replica(self, name: str) -> Replica:
        ring = KeyRing("environments", "admins", pepper=PEPPER)
        directory = Path(self.directory.name, name)
        directory.mkdir()
        file = KeyFile(directory, ring.secret_for("kept keys"))
        keeper = KeyKeeper(ring, file, lambda: self.store, self.clock, dict)
        return Replica(keeper, Guard(ring, self.clock), LimitsHere(self.clock, Metrics()))

    async def _set_clock(self) -> None:
        async with self.database.engine.begin() as connection:
            now = self.clock.now().strftime("%Y-%m-%d %H:%M:%S")
            await connection.execute(text("UPDATE story_clock SET now = :now"), {"now": now})

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.do(self.database.close())
            self.directory.cleanup()
        self.runner.close()

    # What an admin does, at the first replica.

    @rule(limits=limits, budget=budgets, hours=ages)
    def create(self, limits: dict[str, int | None], budget: Budget, hours: int | None) -> None:
        number = next(self.number)
        expires = None if hours is None else self.clock.now() + timedelta(hours=hours)
        caller = Caller(f"key_{number:08}", f"app-{number}", budget=budget, expires_at=expires, **limits)
        key = self.keys[caller.id] = Key(caller, self._new_text())
        self.do(self.store.create(caller, self._digest(key.current), **BY))
        self._heard(0)

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), limits=limits, budget=budgets)
    def change(self, data: st.DataObject, limits: dict[str, int | None], budget: Budget) -> None:
        key = self._any(data)
        work = self.store.change(key.caller.id, lambda caller: replace(caller, budget=budget, **limits), **BY)
        if key.revoked:
            with pytest.raises(Conflict):
                self.do(work)
            return
        key.caller = replace(key.caller, budget=budget, **limits)
        self.do(work)
        self._heard(0)

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), grace_h=st.sampled_from([0, 1, 30]))
    def rotate(self, data: st.DataObject, grace_h: int) -> None:
        key, text_ = self._any(data), self._new_text()
        grace = timedelta(hours=grace_h)
        work = self.store.rotate(key.caller.id, self._digest(text_), grace=grace, **BY)
        if key.revoked:
            with pytest.raises(Conflict):
                self.do(work)
            return
        self.do(work)
        key.old = (key.current, self.clock.now() + grace) if grace_h else None
        key.current = text_
        self._heard(0)

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        key = self._any(data)
        self.do(self.store.revoke(key.caller.id, **BY))
        key.revoked = True
        self._heard(0)

    @rule()
    def the_other_looks(self) -> None:
        self._heard(1)

    # What callers do.

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), number=st.integers(0, 1), calls=st.lists(calls, min_size=1, max_size=8))
    def calls_of_a_key(self, data: st.DataObject, number: int, calls: list[tuple[str, int, int, int]]) -> None:
        key = self._any(data)
        for wish, tokens, used, most in calls:
            text_ = key.current if wish == "current" or key.old is None else key.old[0]
            if wish == "any":
                text_ = data.draw(st.sampled_from([*self.texts, "us_wrong"]))
            self._call(self.replicas[number], text_, tokens, used, most)

    def _call(self, replica: Replica, text_: str, tokens: int, used: int, most: int) -> None:
        headers = [(b"authorization", b"Bearer " + text_.encode())]
        headers.append((b"content-type", b"application/json"))
        expected = replica.known.get(text_)
        if expected is None or (expected.expires_at is not None and self.clock.now() >= expected.expires_at):
            with pytest.raises(Unauthenticated):
                replica.guard.admit("POST", "/v1/chat/completions", headers, peer=str(next(self.number)))
            return
        caller = replica.guard.admit("POST", "/v1/chat/completions", headers)
        assert caller == expected
        if not self._let_in(replica, caller, tokens, tokens * used // 100):
            return
        if caller.budget:
            self._set_aside(caller, most)

    def _let_in(self, replica: Replica, caller: Caller, tokens: int, used: int) -> bool:
        requests, taken = replica.buckets.setdefault(caller.id, (Bucket(), Bucket()))
        rpm, tpm = caller.requests_per_minute, caller.tokens_per_minute
        wait_s, too_large = Fraction(0), tpm is not None and tokens > tpm
        if rpm is not None:
            wait_s = max(wait_s, requests.wait_s(1, rpm, max(1, rpm // 6)))
        if tpm is not None:
            wait_s = max(wait_s, taken.wait_s(tokens, tpm, tpm // 2))
        if wait_s or too_large:
            with pytest.raises(LimitReached) as caught:
                self.do(replica.limits.take(caller, tokens))
            if not too_large:
                told_s = Fraction(int(caught.value.headers["retry-after-ms"]), 1000)
                assert 0 <= told_s - wait_s < Fraction(1, 1000)
            return False
        replica.limits.give_back(self.do(replica.limits.take(caller, tokens)), tokens - used)
        if rpm is not None:
            requests.add(1, rpm)
        if tpm is not None:
            taken.add(used, tpm)
        return True

    def _set_aside(self, caller: Caller, most: int) -> None:
        hold_id, now = time_ordered_id(self.clock.now()), self.clock.now()
        fits = all(
            limit is None or sum(self._counted(caller.id, window)) + most <= limit
            for window, limit in self._windows(caller.budget)
        )
        assert self.do(self.spend.reserve(hold_id, caller.id, most, caller.budget, "a-journal")) is fits
        if fits:
            self.holds[hold_id] = Hold(caller.id, most, now.date(), now)
            self.moved = True

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), share=st.sampled_from([0, 50, 100]), priced=st.booleans())
    def end(self, data: st.DataObject, share: int, priced: bool) -> None:
        hold_id = data.draw(st.sampled_from(sorted(self.holds)))
        hold = self.holds.pop(hold_id)
        cost = hold.nanousd * share // 100
        assert self.do(self.spend.settle({hold_id: Charge(cost, unknown=not priced)})) == 1
        self.keys[hold.key].spent.append((cost if priced else hold.nanousd, hold.day))
        self.moved = True
        self.over.append(hold_id)

    @precondition(lambda self: self.over)
    @rule(data=st.data())
    def end_once_more(self, data: st.DataObject) -> None:
        hold_id = data.draw(st.sampled_from(self.over))
        assert self.do(self.spend.settle({hold_id: Charge(50)})) == 0
        self.moved = True

    @rule()
    def what_is_lost_is_charged_in_full(self) -> None:
        lost = [hold_id for hold_id, hold in self.holds.items() if hold.at < self.clock.now() - LOST]
        assert self.do(self.spend.charge_lost(LOST)) == len(lost)
        self.moved = True
        for hold_id in lost:
            hold = self.holds.pop(hold_id)
            self.keys[hold.key].spent.append((hold.nanousd, hold.day))
            self.over.append(hold_id)

    @rule(seconds=st.sampled_from([1, 9, 10, 60, 1800, 3 * 3600, 25 * 3600]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.moved = True
        self.do(self._set_clock())
        for replica in self.replicas:
            for buckets in replica.buckets.values():
                for bucket in buckets:
                    bucket.ahead_s = max(Fraction(0), bucket.ahead_s - seconds)

    # What holds whatever they do.

    @invariant()
    def what_is_spent_and_held_is_what_the_model_says(self) -> None:
        if not self.moved:
            return
        self.moved = False
        for key_id, standing in self.do(self.spend.standings(list(self.keys))).items():
            for window in ("day", "month", "total"):
                seen = getattr(standing, f"{window}_spent"), getattr(standing, f"{window}_held")
                assert seen == self._counted(key_id, window), window

    def _counted(self, key_id: str, window: str) -> tuple[int, int]:
        """What is spent and what is held in a window that is open now."""
        today = self.clock.now().date()

        def counts(day: date) -> bool:
            return (
                window == "total" or day == today or (window == "month" and day.replace(day=1) == today.replace(day=1))
            )

        held = sum(hold.nanousd for hold in self.holds.values() if hold.key == key_id and counts(hold.day))
        return sum(cost for cost, day in self.keys[key_id].spent if counts(day)), held

    @staticmethod
    def _windows(budget: Budget) -> list[tuple[str, int | None]]:
        return [("day", budget.day_nanousd), ("month", budget.month_nanousd), ("total", budget.total_nanousd)]

    def _heard(self, number: int) -> None:
        """A replica looks, and knows from then on what there is."""
        replica = self.replicas[number]
        self.do(replica.keeper.refresh())
        replica.known = {text_: caller for key in self.keys.values() for text_, caller in key.opens().items()}

    def _any(self, data: st.DataObject) -> Key:
        return self.keys[data.draw(st.sampled_from(sorted(self.keys)))]

    def _new_text(self) -> str:
        self.texts.append(f"us_{next(self.number):08}")
        return self.texts[-1]

    def _digest(self, text_: str) -> str:
        return self.replicas[0].keeper.ring.digest(text_.encode()).hex()


def test_keys_budgets_and_limits_do_what_the_model_says(tmp_path: Path) -> None:
    Keys.template = tmp_path / "empty.db"
    migrated(f"sqlite:///{Keys.template}")
    run_state_machine_as_test(
        Keys,
        settings=settings(
            max_examples=500 if SOAK else 15,
            stateful_step_count=30,
            deadline=None,
            # Shrinking would outlast a test's time.
            phases=[Phase.generate, Phase.shrink] if SOAK else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
