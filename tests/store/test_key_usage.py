"""What single keys were used for: on both databases, among many others."""

from datetime import timedelta

from gateway.reasons import Outcome, Role
from gateway.store.database import Database
from gateway.store.key_usage import KeyUsageStore
from gateway.store.usage import UsageStore
from tests.store.rows import START, an_entry

HOUR = timedelta(hours=1)


async def test_only_a_keys_own_hours_count_and_only_within_the_time(store: UsageStore, database: Database) -> None:
    failed = {"outcome": Outcome.FAILED, "cost_nanousd": None, "input_tokens": 0, "output_tokens": 0}
    await store.insert_attempts(
        [
            an_entry(-29 * HOUR, key="app", cost_nanousd=1000),
            an_entry(-5 * HOUR, key="app", cost_nanousd=1),
            an_entry(-5 * HOUR, key="app", cost_nanousd=2, role=Role.FALLBACK),
            an_entry(-3 * HOUR, key="app", cost_nanousd=None),
            an_entry(-2 * HOUR, key="app", **failed),
            an_entry(-1 * HOUR, key="other", cost_nanousd=64),
            an_entry(-1 * HOUR, key=None, tags={"key": "app"}, cost_nanousd=128),
        ]
    )
    usage = KeyUsageStore(database)
    used = await usage.of(["app", "idle"], START - 24 * HOUR, START)
    assert set(used) == {"app"}
    hour = START.replace(minute=0, second=0, microsecond=0)
    app = used["app"]
    assert (app.last_hour, app.attempts, app.unpriced, app.cost_nanousd) == (hour - 2 * HOUR, 4, 1, 3)
    hours = await usage.hours("app", START - 24 * HOUR, START)
    assert [(each.hour - hour, each.role, each.attempts, each.failed, each.cost_nanousd) for each in hours] == [
        (-5 * HOUR, Role.FALLBACK, 1, 0, 2),
        (-5 * HOUR, Role.PRIMARY, 1, 0, 1),
        (-3 * HOUR, Role.PRIMARY, 1, 0, 0),
        (-2 * HOUR, Role.PRIMARY, 1, 1, 0),
    ]
    assert await usage.of([], START - HOUR, START) == {}
    assert await usage.hours("idle", START - 24 * HOUR, START) == []
