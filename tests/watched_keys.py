"""The keys of the watched gateway: who calls which of its routes, what they may spend, and how much of it is gone."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from fake_clock import FakeClock
from sqlalchemy import insert

from gateway.config.callers import DEFAULT, Budget, Caller, KeyRole
from gateway.execution.key_ring import digest_of
from gateway.ledger.entry import Entry
from gateway.store.database import Database
from gateway.store.keys import KeyStore
from gateway.store.tables_keys import key_spend

PEPPER = "the pepper of the watched gateway, long enough"
USD = 10**9
REVOKED = ("old-crawler",)
OF_OWNER = {"support": "support-desk", "billing": "erp", "claims": "claims-batch", "marketing": "shop"}
OF_ROUTE = {"forum-reply": "forum-app"}
"""Whose routes a key calls; what is of none of them is called with GATEWAY_KEY."""
SPENT = {
    "key_forumapp": (4.31, 93.4, 611.0, 0.42),
    "key_support0": (11.9, 207.5, 1480.0, 1.3),
    "key_erpblock": (0.8, 12.2, 44.1, 0.0),
}
"""Today, this month and in all, and set aside; in dollars."""


def callers(now: datetime) -> Iterator[Caller]:
    """Yield whom the keys stand for."""
    forum = ("forum-*", "faq-answer")
    yield Caller(
        "key_forumapp", "forum-app", owner="support", routes=forum, tags={"tenant": "acme"},
        budget=Budget(5 * USD, 100 * USD, 1000 * USD), requests_per_minute=600, tokens_per_minute=200_000,
    )  # fmt: skip
    yield Caller(
        "key_support0", "support-desk", owner="support", team="care", requests_per_minute=1200,
        budget=Budget(month_nanousd=400 * USD), max_output_tokens=2048, capture=True,
    )  # fmt: skip
    ends = now + timedelta(days=3, hours=5)
    yield Caller(
        "key_claims00", "claims-batch", owner="claims", routes=("claims-summary",), residency="eu", expires_at=ends
    )
    yield Caller(
        "key_erpblock",
        "erp",
        owner="billing",
        budget=Budget(day_nanousd=2 * USD),
        routes=("invoice-*", "contract-dates"),
    )
    yield Caller("key_shopping", "shop", owner="marketing", routes=("product-title", "review-digest", "tone-rewrite"))
    yield Caller("key_nightly0", "nightly-eval", owner="ml-platform", pins=True, expires_at=now - timedelta(days=12))
    yield Caller("key_scraping", "prometheus", KeyRole.OBSERVER, owner="ml-platform")
    yield Caller("key_crawler0", "old-crawler", owner="marketing")


def keyed(rows: Iterable[Entry], owners: dict[str, str]) -> list[Entry]:
    """Return rows as their callers' keys asked for them; ``owners`` by route."""
    names = {route: OF_ROUTE.get(route) or OF_OWNER.get(owner, DEFAULT) for route, owner in owners.items()}
    return [row._replace(key=names[row.route]) for row in rows]


async def keep_keys(database: Database, now: datetime) -> None:
    """Make the keys as they were made over the last weeks, and write what they have spent."""
    clock = FakeClock(now - timedelta(days=40))
    store = KeyStore(database, clock)
    for caller in callers(now):
        digest = digest_of(PEPPER.encode(), caller.id.encode()).hex()
        await store.create(caller, digest, by="ops@gw-1", through="cli")
        if caller.name in REVOKED:
            clock.advance(3600)
            await store.revoke(caller.id, by="admin", through="page")
        clock.advance(86_400)
    # The database's day, which need not be that of the watched gateway.
    today = datetime.now(UTC).date()
    for key_id, amounts in SPENT.items():
        day, month, total, held = (round(amount * USD) for amount in amounts)
        sums = {"day_spent": day, "month_spent": month, "total_spent": total}
        helds = {"day_held": held, "month_held": held, "total_held": held}
        row = {"key_id": key_id, "day": today, "month": today.replace(day=1), **sums, **helds}
        async with database.engine.begin() as connection:
            await connection.execute(insert(key_spend).values(**row))
