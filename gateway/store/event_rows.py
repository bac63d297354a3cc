"""Events as rows: kept once each, with the messages that tell of them, in the transaction of what they tell of."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.policy.announcements import Event, Notice
from gateway.reasons import EventKind, Reason
from gateway.store.outbox import Outbox
from gateway.store.tables import events

Announce = Callable[[Sequence[Event]], Sequence[Notice]]
"""Returns the messages that tell of events which happened together."""


async def keep_events(connection: AsyncConnection, found: Sequence[Event], announce: Announce | None) -> list[Event]:
    """Keep events whose ``once_key`` is not there yet, and their messages; return those that were new."""
    insert: Any = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(events)
    new = []
    for event in found:
        row = {name: getattr(event, name) for name in events.c.keys()}  # noqa: SIM118 - a collection of columns
        statement = insert.values(row).on_conflict_do_nothing(index_elements=["once_key"])
        if (await connection.execute(statement)).rowcount > 0:
            new.append(event)
    if new and announce is not None:
        await Outbox.add(connection, announce(new))
    return new


def event_of(row: RowMapping) -> Event:
    """Return the event that a row keeps."""
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    values["kind"] = EventKind(values["kind"])
    values["reason"] = Reason(values["reason"]) if values["reason"] is not None else None
    return Event(**values)
