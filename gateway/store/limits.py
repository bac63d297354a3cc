"""What providers last said that a model's rate limits are."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.policy.traffic import Limits, TargetKey
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.tables import rate_limits


class LimitStore:
    """The table ``rate_limits``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert: Any = postgresql.insert if database.engine.dialect.name == "postgresql" else sqlite.insert
        given = insert(rate_limits)
        self._upsert = given.on_conflict_do_update(
            index_elements=list(rate_limits.primary_key),
            set_={name: given.excluded[name] for name in ("requests_per_minute", "tokens_per_minute", "seen_at")},
            # Another replica may have seen a later answer.
            where=rate_limits.c.seen_at <= given.excluded.seen_at,
        )

    async def save(self, rows: Sequence[tuple[str, str, int | None, int | None, datetime]]) -> None:
        """Keep rows of provider's name, model, requests and tokens per minute, and when that was seen."""
        if not rows:
            return
        names = [column.name for column in rate_limits.columns]
        # In one order on every replica: two that lock each other's rows would wait for ever.
        ordered = [dict(zip(names, row, strict=True)) for row in sorted(rows, key=lambda row: row[:2])]
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                await connection.execute(self._upsert, ordered)

    async def all(self) -> dict[TargetKey, Limits]:
        """Return what is known, by provider's name and model."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(select(rate_limits))).all()
        return {
            (row.provider, row.model): Limits(row.requests_per_minute, row.tokens_per_minute, row.seen_at)
            for row in rows
        }
