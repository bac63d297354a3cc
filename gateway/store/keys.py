"""Keys as the database keeps them: what each stands for, and by which digest it is known. Never a key itself."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import RowMapping, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock
from gateway.config.callers import NO_TAGS, Budget, Caller, KeyRole
from gateway.errors import Conflict, NotFound
from gateway.store.audit import Changes, audit_row, keep_audit
from gateway.store.database import Database, unavailable_as_such, where, writing
from gateway.store.rows import Rows
from gateway.store.tables_keys import keys

WAIT_MS: Final = 10_000
"""How long a change waits for SQLite's lock: whoever makes one has nothing else to do meanwhile."""
_k: Final = keys.c


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key, revoked ones too."""

    caller: Caller
    digest: str
    """HMAC-SHA-256 of the key under the pepper, in hex."""
    old_digest: str | None
    """Of the key before the last rotation, which is valid until ``old_until``."""
    old_until: datetime | None
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
    version: int
    """Of all keys' changes, the one that made this one what it is."""

    def digests(self, now: datetime) -> list[str]:
        """Return what opens for it now: nothing where it is revoked."""
        if self.revoked_at is not None:
            return []
        turns = self.old_digest is not None and self.old_until is not None and now < self.old_until
        return [self.digest, self.old_digest] if turns and self.old_digest is not None else [self.digest]


class KeyStore:
    """The table ``keys``. Every change is one transaction with its audit row. Any method may raise
    ``DatabaseUnavailable``.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock, self._rows = database, clock, Rows(database)

    async def version(self) -> int:
        """Return the number of the last change of any key; 0: there was none."""
        found = await self._rows.read(select(func.max(_k.version).label("version")))
        return int(found[0]["version"] or 0)

    async def all(self) -> list[KeyRow]:
        """Return every key by its name, revoked ones too."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return [key_row(row) for row in (await connection.execute(select(keys).order_by(_k.name))).mappings()]

    async def page(self, after: str | None, limit: int, *, revoked: bool) -> list[KeyRow]:
        """Return so many keys by their names, from the one behind ``after`` on; ``revoked``: those that are, too."""
        query = select(keys).order_by(_k.name).limit(limit)
        if after is not None:
            query = query.where(_k.name > after)
        if not revoked:
            query = query.where(_k.revoked_at.is_(None))
        return [key_row(row) for row in await self._rows.read(query)]

    async def changed(self, since: int, *, after: str = "", limit: int = 250) -> list[KeyRow]:
        """Return keys that changed after a version, by their ids from the one behind ``after`` on, not all at once."""
        page = select(keys).where(_k.version > since, _k.key_id > after).order_by(_k.key_id).limit(limit)
        return [key_row(row) for row in await self._rows.read(page)]

    async def find(self, key_id: str) -> KeyRow | None:
        """Return a key by its id."""
        found = await self._rows.read(select(keys).where(_k.key_id == key_id))
        return key_row(found[0]) if found else None

    async def create(self, caller: Caller, digest: str, *, by: str, through: str) -> KeyRow:
        """Add a key.

        Raises:
            Conflict: there is one of this name, id or digest, maybe a revoked one.
        """
        values = caller_values(caller)
        async with self._change() as (connection, now, version):
            taken = or_(_k.name == caller.name, _k.key_id == caller.id, _k.digest == digest, _k.old_digest == digest)
            if (await connection.execute(select(_k.key_id).where(taken))).first() is not None:
                raise Conflict(f"There is a key named '{caller.name}' already; revoked keys keep their names.")
            row = {"key_id": caller.id, "digest": digest, "created_at": now, "created_by": by, "version": version}
            await connection.execute(insert(keys).values(**values, **row))
            changes = {
                name: (None, _plain(value))
                for name, value in values.items()
                if value is not None and value is not False
            }
            await self._audit(connection, now, "key_created", caller.id, changes, by, through)
        return KeyRow(caller, digest, None, None, now, by, None, version)

    async def change(self, key_id: str, make: Callable[[Caller], Caller], *, by: str, through: str) -> KeyRow:
        """Have a key stand for something else; its digest stays.

        ``make`` gets what it stands for now, within the transaction, so that two changes at once both count; what it
        raises ends the change, and an id that it changes does not count.

        Raises:
            NotFound: there is none with this id.
            Conflict: another has its new name, or it is revoked.
        """
        async with self._change() as (connection, now, version):
            before = await self._usable(connection, key_id)
            caller = make(before.caller)
            if caller.name != before.caller.name:
                named = select(_k.key_id).where(_k.name == caller.name)
                if (await connection.execute(named)).first() is not None:
                    raise Conflict(f"There is a key named '{caller.name}' already; revoked keys keep their names.")
            old, new = caller_values(before.caller), caller_values(caller)
            changes = {name: (_plain(old[name]), _plain(new[name])) for name in new if old[name] != new[name]}
            if not changes:
                return before
            await connection.execute(update(keys).where(_k.key_id == key_id).values(**new, version=version))
            await self._audit(connection, now, "key_changed", key_id, changes, by, through)
            return await self._row(connection, key_id)

    async def rotate(self, key_id: str, digest: str, *, grace: timedelta, by: str, through: str) -> KeyRow:
        """Have another key stand for the same; the one before stays valid for ``grace``, and any older one no more.

        Raises:
            NotFound: there is none with this id.
            Conflict: it is revoked.
        """
        async with self._change() as (connection, now, version):
            before = await self._usable(connection, key_id)
            until = now + grace if grace > timedelta(0) else None
            values = {
                "digest": digest,
                "old_digest": before.digest if until is not None else None,
                "old_until": until,
                "version": version,
            }
            await connection.execute(update(keys).where(_k.key_id == key_id).values(**values))
            changes = {"old_until": (_plain(before.old_until), _plain(until))}
            await self._audit(connection, now, "key_rotated", key_id, changes, by, through)
            return await self._row(connection, key_id)

    async def revoke(self, key_id: str, *, by: str, through: str) -> KeyRow:
        """End a key, and the one before it, at once and for good; one that is revoked already stays as it is.

        Raises:
            NotFound: there is none with this id.
        """
        async with self._change() as (connection, now, version):
            before = await self._row(connection, key_id)
            if before.revoked_at is not None:
                return before
            values = {"revoked_at": now, "old_digest": None, "old_until": None, "version": version}
            await connection.execute(update(keys).where(_k.key_id == key_id).values(**values))
            await self._audit(connection, now, "key_revoked", key_id, {"revoked_at": (None, _plain(now))}, by, through)
            return await self._row(connection, key_id)

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[tuple[AsyncConnection, datetime, int]]:
        """Open a transaction that no other change of keys overlaps; give it the time and its number."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with writing(self._database, wait_ms=WAIT_MS) as connection:
                if connection.dialect.name == "postgresql":
                    # Readers go on. Without it two changes could get one number, and a replica miss the second.
                    await connection.execute(text("LOCK TABLE keys IN SHARE ROW EXCLUSIVE MODE"))
                last: int | None = await connection.scalar(select(func.max(_k.version)))
                yield connection, self._clock.now(), (last or 0) + 1

    async def _usable(self, connection: AsyncConnection, key_id: str) -> KeyRow:
        row = await self._row(connection, key_id)
        if row.revoked_at is not None:
            raise Conflict(f"The key '{row.caller.name}' is revoked, and stays so; make another one.")
        return row

    @staticmethod
    async def _row(connection: AsyncConnection, key_id: str) -> KeyRow:
        found = (await connection.execute(select(keys).where(_k.key_id == key_id))).mappings().first()
        if found is None:
            raise NotFound(f"There is no key with the id '{key_id[:100]}'.")
        return key_row(found)

    @staticmethod
    async def _audit(
        connection: AsyncConnection,
        at: datetime,
        action: str,
        key_id: str,
        changes: Changes,
        by: str,
        through: str,
    ) -> None:
        row = audit_row(at, by=by, action=action, subject=key_id, through=through, changes=changes)
        await keep_audit(connection, row)


def caller_values(caller: Caller) -> dict[str, Any]:
    """Return what a key stands for as columns of the table, without its id."""
    return {
        "name": caller.name,
        "role": caller.role.value,
        "owner": caller.owner,
        "team": caller.team,
        "tags": dict(caller.tags) or None,
        "routes": list(caller.routes) if caller.routes is not None else None,
        "pins": caller.pins,
        "residency": caller.residency,
        "expires_at": caller.expires_at,
        "day_nanousd": caller.budget.day_nanousd,
        "month_nanousd": caller.budget.month_nanousd,
        "total_nanousd": caller.budget.total_nanousd,
        "requests_per_minute": caller.requests_per_minute,
        "tokens_per_minute": caller.tokens_per_minute,
        "max_output_tokens": caller.max_output_tokens,
        "capture": caller.capture,
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def key_row(row: RowMapping | Mapping[str, Any]) -> KeyRow:
    """Return the key that a row of the table is."""
    caller = Caller(
        id=row["key_id"],
        name=row["name"],
        role=KeyRole(row["role"]),
        owner=row["owner"],
        team=row["team"],
        tags=MappingProxyType(dict(row["tags"])) if row["tags"] else NO_TAGS,
        routes=tuple(row["routes"]) if row["routes"] is not None else None,
        pins=row["pins"],
        residency=row["residency"],
        expires_at=row["expires_at"],
        budget=Budget(row["day_nanousd"], row["month_nanousd"], row["total_nanousd"]),
        requests_per_minute=row["requests_per_minute"],
        tokens_per_minute=row["tokens_per_minute"],
        max_output_tokens=row["max_output_tokens"],
        capture=row["capture"],
    )
    return KeyRow(
        caller,
        row["digest"],
        row["old_digest"],
        row["old_until"],
        row["created_at"],
        row["created_by"],
        row["revoked_at"],
        row["version"],
    )
