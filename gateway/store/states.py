"""What replicas agree on: states of targets and routes, commands, and the events that come of their changes.

Every change names the version it was decided on and is refused where that is no longer the latest, so that of any
number of replicas one makes it, and one that slept through others' changes makes none. An event, and the messages that
tell of it, are committed together with the change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Table, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.policy.announcements import Event
from gateway.policy.availability import TargetState
from gateway.policy.planner import Command
from gateway.policy.promotion import Promotion
from gateway.policy.standing import RouteState, Standing
from gateway.reasons import Availability, Reason
from gateway.store.audit import CLI, AuditRow, audit_row, keep_audit
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.event_rows import Announce, event_of, keep_events
from gateway.store.promotions import read_active
from gateway.store.tables import (
    commands,
    events,
    published_dates,
    replicas,
    route_states,
    served_targets,
    target_states,
)

TargetKey = tuple[str, str]
LIVES = timedelta(seconds=60)
"""A replica that was not heard of for so long has no say."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Everything that is agreed on, as of one moment."""

    targets: Mapping[TargetKey, TargetState]
    routes: Mapping[str, RouteState]
    commands: Mapping[str, Command]
    served: frozenset[TargetKey] = frozenset()
    """The targets that ever answered any of the replicas."""
    living: tuple[tuple[str, datetime], ...] = ()
    """Configurations of the replicas that were heard of lately: hash, and when it was loaded."""
    published_at: Mapping[str, datetime] = field(default_factory=dict)
    """When each provider was last asked for its dates, by any replica."""
    promotions: Mapping[str, Promotion] = field(default_factory=dict)
    """Those that have not ended, by route."""


@dataclass(frozen=True, slots=True)
class RouteMove:
    """A route's change, and what it was decided on."""

    route: str
    standing: Standing
    based_on: RouteState | None
    event: Event | None
    """None: nothing that people are told."""


class StateStore:
    """The shared states in one database. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database, instance: str) -> None:
        self._database = database
        self._instance = instance

    async def read(self, now: datetime) -> Shared:
        """Return everything that is agreed on."""
        heard_since = replicas.c.seen_at >= now - LIVES
        dates_at = select(published_dates.c.provider, func.max(published_dates.c.read_at)).group_by(
            published_dates.c.provider
        )
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                # Routes first: what a move is decided on may be newer than the version that it names, never older.
                routes = (await connection.execute(select(route_states))).mappings().all()
                targets = (await connection.execute(select(target_states))).mappings().all()
                ordered = (await connection.execute(select(commands))).mappings().all()
                living = (await connection.execute(select(replicas).where(heard_since))).mappings().all()
                polled = (await connection.execute(dates_at)).all()
                served = (await connection.execute(select(served_targets.c.provider, served_targets.c.model))).all()
                promotions = await read_active(connection)
        return Shared(
            {(row["provider"], row["model"]): _target_state(row) for row in targets},
            {row["route"]: _route_state(row) for row in routes},
            {row["route"]: _command(row) for row in ordered},
            frozenset((provider, model) for provider, model in served),
            tuple((row["config_hash"], row["config_at"]) for row in living),
            {row.provider: row[1] for row in polled},
            promotions,
        )

    async def report(self, config_hash: str, config_at: datetime, now: datetime) -> None:
        """Say that this replica lives, and by which configuration; forget those that were not heard of for a day."""
        row = {"config_hash": config_hash, "config_at": config_at, "seen_at": now}
        mine = self._insert(replicas).values(instance=self._instance, **row)
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                await connection.execute(mine.on_conflict_do_update(index_elements=["instance"], set_=row))
                await connection.execute(delete(replicas).where(replicas.c.seen_at < now - timedelta(days=1)))

    async def move_target(
        self,
        key: TargetKey,
        availability: Availability,
        *,
        version: int,
        now: datetime,
        event: Event | None = None,
        announce: Announce | None = None,
    ) -> bool:
        """Change a target's state if it still has this version (0: none was ever written); tell whether it did."""
        values = {"availability": availability, "version": version + 1, "since": now, "instance": self._instance}
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                provider, model = key
                moved = await self._write(
                    connection, target_states, {"provider": provider, "model": model}, values, version
                )
                if moved and event is not None:
                    await keep_events(connection, [event], announce)
        return moved

    async def move_routes(
        self,
        moves: Sequence[RouteMove],
        *,
        now: datetime,
        config_hash: str,
        announce: Announce | None = None,
    ) -> list[RouteMove]:
        """Change routes' states, each if it is still as the move was based on; return the moves that were made."""
        made = []
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                # In one order everywhere: two replicas that lock the same rows must not wait for each other.
                for move in sorted(moves, key=lambda move: move.route):
                    version = move.based_on.version if move.based_on is not None else 0
                    values = {
                        "target": move.standing.target,
                        "reason": move.standing.reason,
                        "refused": move.standing.refused,
                        "version": version + 1,
                        "since": _since(move, now),
                        "config_hash": config_hash,
                        "instance": self._instance,
                    }
                    if await self._write(connection, route_states, {"route": move.route}, values, version):
                        made.append(move)
                await keep_events(connection, [move.event for move in made if move.event is not None], announce)
        return made

    async def record(self, found: Sequence[Event], announce: Announce | None = None) -> list[Event]:
        """Keep events whose ``once_key`` is not there yet; return those that were new."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                return await keep_events(connection, found, announce)

    async def command(self, route: str, command: Command, *, through: str = CLI) -> None:
        """Put a route by hand: the last command counts. ``through``: from where it comes, for the audit."""
        row = {
            "target": command.target,
            "reason": command.reason,
            "by": command.by,
            "at": command.at,
            "expires_at": command.expires_at,
            "version": 1,
        }
        insert = self._insert(commands).values(route=route, **row)
        row["version"] = commands.c.version + 1
        statement = insert.on_conflict_do_update(index_elements=["route"], set_=row)
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                before = await self._commanded(connection, route)
                await connection.execute(statement)
                audited = _audited("route_moved", route, command.by, command.at, through, before, command)
                await keep_audit(connection, audited)

    async def release(self, route: str, *, by: str, reason: str | None, now: datetime, through: str = CLI) -> bool:
        """Take a command back; tell whether there was one. Who did it, and why, is in the audit."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                before = await self._commanded(connection, route)
                result = await connection.execute(delete(commands).where(commands.c.route == route))
                if result.rowcount > 0:
                    audited = _audited("route_given_back", route, by, now, through, before, None, reason)
                    await keep_audit(connection, audited)
        return result.rowcount > 0

    @staticmethod
    async def _commanded(connection: AsyncConnection, route: str) -> Command | None:
        query = select(commands).where(commands.c.route == route).with_for_update()
        row = (await connection.execute(query)).mappings().first()
        return _command(row) if row is not None else None

    async def events(self, *, limit: int = 100, route: str | None = None) -> list[Event]:
        """Return the latest events, newest first."""
        query = select(events).order_by(events.c.event_id.desc()).limit(limit)
        if route is not None:
            query = query.where(events.c.route == route)
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return [event_of(row) for row in (await connection.execute(query)).mappings()]

    async def _write(
        self, connection: AsyncConnection, table: Table, key: Mapping[str, str], values: Mapping[str, Any], version: int
    ) -> bool:
        """Insert a first version or replace the version that is named; False: another one was faster."""
        if version == 0:
            statement = self._insert(table).values(**key, **values).on_conflict_do_nothing(index_elements=list(key))
            return (await connection.execute(statement)).rowcount > 0
        change = update(table).values(**values).where(table.c.version == version)
        for name, value in key.items():
            change = change.where(table.c[name] == value)
        return (await connection.execute(change)).rowcount > 0

    def _insert(self, table: Table) -> Any:
        postgres = self._database.engine.dialect.name == "postgresql"
        return postgresql.insert(table) if postgres else sqlite.insert(table)


def _audited(
    action: str,
    route: str,
    by: str,
    at: datetime,
    through: str,
    before: Command | None,
    after: Command | None,
    reason: str | None = None,
) -> AuditRow:
    """Return the audit row of a command that took another one's place, or of one that was taken back."""
    changes: dict[str, tuple[Any, Any]] = {}
    for name in ("target", "reason", "expires_at"):
        pair = _plain(getattr(before, name, None)), _plain(getattr(after, name, None))
        if pair != (None, None):
            changes[name] = pair
    if reason is not None:
        changes["reason"] = (changes.get("reason", (None,))[0], reason)
    return audit_row(at, by=by, action=action, subject=route, through=through, changes=changes)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _since(move: RouteMove, now: datetime) -> datetime:
    """A route stands as it does since its target or its trouble changed, not since its reason got another name."""
    before = move.based_on
    if before is None or move.event is not None or before.standing.target != move.standing.target:
        return now
    return before.since


def _target_state(row: RowMapping) -> TargetState:
    return TargetState(Availability(row["availability"]), row["version"], row["since"])


def _route_state(row: RowMapping) -> RouteState:
    refused = Reason(row["refused"]) if row["refused"] is not None else None
    standing = Standing(row["target"], Reason(row["reason"]), refused)
    return RouteState(standing, row["version"], row["since"], row["config_hash"])


def _command(row: RowMapping) -> Command:
    return Command(row["target"], row["reason"], row["by"], row["at"], row["expires_at"])
