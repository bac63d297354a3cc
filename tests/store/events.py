"""Events for tests: ordinary but for what a test says."""

from datetime import datetime
from typing import Any

from gateway.ledger.entry import new_attempt_id
from gateway.policy.announcements import Event
from gateway.reasons import EventKind

ABOUT = ("reason", "route", "owner", "provider", "model", "from_target", "to_target")


def an_event(kind: EventKind, at: datetime, **fields: Any) -> Event:
    given = dict.fromkeys(ABOUT) | {"by": "replica-1", "text": "It happened."} | fields
    return Event(event_id=new_attempt_id(at), at=at, kind=kind, **given)
