"""Webhook messages on their way: kept with the events they tell of, claimed by one replica at a time."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.policy.announcements import Notice
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.tables import notices


class Outbox:
    """The table ``notices``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    async def add(connection: AsyncConnection, added: Sequence[Notice]) -> None:
        """Keep messages, due at once, within the caller's own transaction."""
        if added:
            await connection.execute(insert(notices), [_row(notice) for notice in added])

    async def claim(self, now: datetime, *, lease_s: float, limit: int, busy: Collection[str] = ()) -> list[Notice]:
        """Take messages that are due, the longest due first, and keep them from other replicas until the lease ends.

        Those of webhooks in ``busy`` are left alone.
        """
        due = (
            select(notices)
            .where(notices.c.due_at <= now, notices.c.webhook.not_in(busy))
            .order_by(notices.c.due_at, notices.c.notice_id)
            .limit(limit)
        )
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(due)).mappings().all()
            if not rows:
                return []
            leased_until = now + timedelta(seconds=lease_s)
            claimed = {}
            # A transaction of its own that begins by writing: SQLite lets none that has read wait for a writer.
            async with self._database.engine.begin() as connection:
                # In one order everywhere: two replicas that claim the same rows must not wait for each other.
                for row in sorted(rows, key=lambda row: row["notice_id"]):
                    taken = (
                        update(notices)
                        .where(notices.c.notice_id == row["notice_id"], notices.c.due_at == row["due_at"])
                        .values(due_at=leased_until, tries=notices.c.tries + 1)
                    )
                    if (await connection.execute(taken)).rowcount > 0:
                        claimed[row["notice_id"]] = _notice(row, tries=row["tries"] + 1)
        return [claimed[row["notice_id"]] for row in rows if row["notice_id"] in claimed]

    async def delivered(self, notice: Notice, at: datetime) -> None:
        """Record that a message arrived: whatever became of the lease since, it is over."""
        await self._settle(notice, {"delivered_at": at, "due_at": None, "last_error": None}, any_try=True)

    async def failed(self, notice: Notice, error: str, due_at: datetime | None) -> None:
        """Record why a try failed, and when to try again; None: never.

        Nothing happens where another replica has claimed it since, or delivered it.
        """
        await self._settle(notice, {"due_at": due_at, "last_error": error}, any_try=False)

    async def pending(self) -> tuple[int, datetime | None]:
        """Return how many messages are still to deliver, and when the oldest of them was made."""
        query = select(func.count(), func.min(notices.c.created_at)).where(notices.c.due_at.is_not(None))
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                count, oldest = (await connection.execute(query)).one()
        return count, oldest

    async def _settle(self, notice: Notice, values: dict[str, Any], *, any_try: bool) -> None:
        change = update(notices).where(notices.c.notice_id == notice.notice_id, notices.c.delivered_at.is_(None))
        if not any_try:
            change = change.where(notices.c.tries == notice.tries)
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                await connection.execute(change.values(**values))


def _row(notice: Notice) -> dict[str, Any]:
    return {
        "notice_id": notice.notice_id,
        "webhook": notice.webhook,
        "body": notice.body,
        "created_at": notice.created_at,
        "tries": 0,
        "due_at": notice.created_at,
    }


def _notice(row: Any, *, tries: int) -> Notice:
    return Notice(row["notice_id"], row["webhook"], row["body"], row["created_at"], tries)
