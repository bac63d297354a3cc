"""Keys and changes of them as whoever asks is shown them, by the admin API and the command line alike: no digests."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, Literal

from gateway.config.callers import Caller
from gateway.config.key_fields import as_fields, as_json, usd
from gateway.store.audit import AuditRow
from gateway.store.keys import KeyRow
from gateway.store.standings import Standing

State = Literal["active", "expired", "revoked"]
DATABASE: Final = "database"
DECLARED: Final = "routes.yaml"


def state_of(caller: Caller, revoked_at: datetime | None, now: datetime) -> State:
    """Return whether a key opens anything now."""
    if revoked_at is not None:
        return "revoked"
    return "expired" if caller.expires_at is not None and caller.expires_at <= now else "active"


def old_until(row: KeyRow, now: datetime) -> datetime | None:
    """Return until when the key before the last rotation is taken; None: not any more."""
    return row.old_until if row.old_until is not None and row.old_until > now else None


def shown(row: KeyRow, spent: Standing | None, now: datetime) -> dict[str, Any]:
    """Return a key of the database as JSON has it."""
    kept = {
        "declared_in": DATABASE,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "revoked_at": row.revoked_at,
        "old_key_valid_until": old_until(row, now),
    }
    return _of(row.caller, spent, state_of(row.caller, row.revoked_at, now)) | as_json(kept)


def shown_declared(caller: Caller, spent: Standing | None, now: datetime) -> dict[str, Any]:
    """Return a key of routes.yaml as JSON has it."""
    absent = dict.fromkeys(("created_at", "created_by", "revoked_at", "old_key_valid_until"))
    return _of(caller, spent, state_of(caller, None, now)) | {"declared_in": DECLARED, **absent}


def shown_change(row: AuditRow) -> dict[str, Any]:
    """Return an administrator's change as JSON has it."""
    said = asdict(row)
    return {"id": said.pop("audit_id"), **said, "at": row.at.isoformat()}


def _of(caller: Caller, spent: Standing | None, state: State) -> dict[str, Any]:
    said: Mapping[str, Any] = as_json(as_fields(caller))
    return {"id": caller.id, "name": caller.name, "status": state, **said, "spent": _sums(spent)}


def _sums(spent: Standing | None) -> dict[str, Any] | None:
    if spent is None:
        return None
    amounts = {
        "day_usd": spent.day_spent,
        "month_usd": spent.month_spent,
        "total_usd": spent.total_spent,
        "held_usd": spent.total_held,
    }
    return as_json({name: usd(amount) for name, amount in amounts.items()})
