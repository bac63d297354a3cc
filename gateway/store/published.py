"""What providers' APIs said of their models' dates, kept for the next start and for commands that need no server."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, text

from gateway.policy.lifecycle import Dates, Origin, Published
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.tables import published_dates


class PublishedStore:
    """The table ``published_dates``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def replace(self, provider: str, models: Iterable[Published], read_at: datetime) -> None:
        """Keep what a provider said, instead of what it said before."""
        rows = [_row(provider, model, read_at) for model in models]
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                if self._database.engine.dialect.name == "postgresql":
                    # Replicas poll at the same moments: each must see what the others wrote, to replace it.
                    await connection.execute(text(f"LOCK TABLE {published_dates.name} IN SHARE ROW EXCLUSIVE MODE"))
                await connection.execute(delete(published_dates).where(published_dates.c.provider == provider))
                if rows:
                    await connection.execute(insert(published_dates), rows)

    async def all(self) -> dict[tuple[str, str], Published]:
        """Return what is kept, by the provider's name and the model."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(select(published_dates))).mappings().all()
        return {(row["provider"], row["model"]): _published(dict(row)) for row in rows}


def _row(provider: str, published: Published, read_at: datetime) -> dict[str, Any]:
    dates = published.dates
    return {
        "provider": provider,
        "model": published.model,
        "base": published.base,
        "announced": dates.announced,
        "last_training_day": dates.last_training_day,
        "shutdown": dates.shutdown,
        "replacement": dates.replacement,
        "certainty": dates.certainty,
        "source": dates.source,
        "read_at": read_at,
    }


def _published(row: dict[str, Any]) -> Published:
    dates = Dates(
        row["announced"],
        row["shutdown"],
        row["replacement"],
        row["certainty"],
        row["source"],
        # A date that its provider calls tentative may still move: it warns.
        acts=row["certainty"] == "planned",
        last_training_day=row["last_training_day"],
        origin=Origin.PROVIDER,
        read=row["read_at"].date(),
    )
    return Published(row["model"], dates, row["base"])
