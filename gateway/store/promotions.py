"""Which versions answer in place of what routes.yaml names, or a share of it.

Every change names the promotion as it was known and is refused where that is not the latest any more, so that of any
number of people and replicas one makes it. What becomes of the versions, its event and messages are committed with it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.policy.announcements import Event
from gateway.policy.promotion import (
    Ending,
    Promotion,
    PromotionState,
    VersionStatus,
    ended,
    incumbent_status_of,
    status_of,
)
from gateway.store.audit import audit_row, keep_audit
from gateway.store.database import Database, alone_with, unavailable_as_such, where
from gateway.store.event_rows import Announce, keep_events
from gateway.store.tables_training import promotions, versions
from gateway.store.versions import VERSIONS

_p, _v = promotions.c, versions.c


@dataclass(frozen=True, slots=True)
class Telling:
    """What is kept with a change, so that people hear of it."""

    event: Event | None = None
    announce: Announce | None = None
    """Makes the webhooks' messages of the event; None: there are no webhooks."""
    through: str | None = None
    """From where a person made the change, for the audit (``store.audit``); None: no person did."""
    by: str = ""
    """Who, for the audit."""
    why: str | None = None
    """The reason of an ending, for the audit; what begins or changes has its own."""


NOBODY = Telling()


class PromotionStore:
    """The table ``promotions``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def active(self) -> dict[str, Promotion]:
        """Return the promotions that have not ended, by route."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return await read_active(connection)

    async def of_route(self, route: str) -> list[Promotion]:
        """Return every promotion that a route has had, the newest first."""
        query = select(promotions).where(_p.route == route).order_by(_p.promotion_id.desc())
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return [promotion_of(row) for row in (await connection.execute(query)).mappings()]

    async def begin(self, promotion: Promotion, *, over: Promotion | None = None, told: Telling = NOBODY) -> bool:
        """Begin a promotion; False: another one began or changed meanwhile.

        ``over``: the route's active promotion as it is known, which ends as superseded; None: there is none.
        """
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                await alone_with(connection, VERSIONS, promotion.route)
                if over is not None:
                    superseded = ended(over, Ending.SUPERSEDED, promotion.started_at)
                    if not await _replace(connection, over, superseded):
                        return False
                postgres = connection.dialect.name == "postgresql"
                insert: Any = (postgresql.insert if postgres else sqlite.insert)(promotions)
                row = asdict(promotion)
                if (await connection.execute(insert.values(row).on_conflict_do_nothing())).rowcount == 0:
                    # Nobody ended what stands there instead, and nothing here may end it unseen.
                    await connection.rollback()
                    return False
                await _follow(connection, promotion, promotion.started_at)
                await _tell(connection, "promoted", over, promotion, promotion.started_at, told)
        return True

    async def change(
        self,
        promotion: Promotion,
        *,
        state: PromotionState,
        share: float,
        expires_at: datetime,
        now: datetime,
        by: str,
        reason: str,
        told: Telling = NOBODY,
    ) -> Promotion | None:
        """Give an active promotion another share, or all of the route; None: it changed or ended meanwhile.

        ``share`` is 1 for one that is serving. Evidence begins anew where state or share are others.
        """
        moved = (state, share) != (promotion.state, promotion.share)
        after = replace(
            promotion,
            state=state,
            share=share,
            expires_at=expires_at,
            by=by,
            reason=reason,
            changed_at=now if moved else promotion.changed_at,
            version=promotion.version + 1,
        )
        return after if await self._put(promotion, after, "promotion_changed", now, told) else None

    async def end(self, promotion: Promotion, because: Ending, now: datetime, *, told: Telling = NOBODY) -> bool:
        """End an active promotion; False: it changed or ended meanwhile."""
        return await self._put(promotion, ended(promotion, because, now), "promotion_ended", now, told)

    async def _put(self, before: Promotion, after: Promotion, action: str, now: datetime, told: Telling) -> bool:
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                await alone_with(connection, VERSIONS, before.route)
                made = await _replace(connection, before, after)
                if made:
                    await _tell(connection, action, before, after, now, told)
        return made


async def read_active(connection: AsyncConnection) -> dict[str, Promotion]:
    """Return the promotions that have not ended, by route, within the caller's own connection."""
    found = await connection.execute(select(promotions).where(_p.ended_at.is_(None)))
    return {row["route"]: promotion_of(row) for row in found.mappings()}


def promotion_of(row: RowMapping) -> Promotion:
    """Return the promotion that a row keeps."""
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    values["state"] = PromotionState(values["state"])
    values["ended_because"] = Ending(values["ended_because"]) if values["ended_because"] is not None else None
    return Promotion(**values)


async def _replace(connection: AsyncConnection, before: Promotion, after: Promotion) -> bool:
    """Write a promotion over the one that is known; False: that is not what stands there."""
    known = (_p.promotion_id == before.promotion_id, _p.version == before.version, _p.ended_at.is_(None))
    values = {name: value for name, value in asdict(after).items() if name != "promotion_id"}
    if (await connection.execute(update(promotions).where(*known).values(**values))).rowcount == 0:
        return False
    await _follow(connection, after, after.ended_at or after.changed_at)
    return True


async def _follow(connection: AsyncConnection, promotion: Promotion, now: datetime) -> None:
    """Have the versions say what a promotion has made of them."""
    of_route = update(versions).where(_v.route == promotion.route)
    incumbent = incumbent_status_of(promotion)
    moves: list[tuple[Any, VersionStatus]] = [(_v.number == promotion.number, status_of(promotion))]
    if incumbent is not None:
        named = (_v.provider == promotion.incumbent_provider) & (_v.model == promotion.incumbent_model)
        moves.insert(0, (named & (_v.number != promotion.number), incumbent))
    for which, status in moves:
        if status is VersionStatus.SERVING:
            # Another checkout's primary may still be written to serve: of a route at most one does.
            others = of_route.where(~which, _v.status == VersionStatus.SERVING)
            await connection.execute(others.values(status=VersionStatus.RETIRED, changed_at=now))
        changed = of_route.where(which, _v.status != status)
        await connection.execute(changed.values(status=status, changed_at=now))


async def _tell(
    connection: AsyncConnection,
    action: str,
    before: Promotion | None,
    after: Promotion,
    now: datetime,
    told: Telling,
) -> None:
    if told.event is not None:
        await keep_events(connection, [told.event], told.announce)
    if told.through is None:
        return
    changes = {**_changes(before, after), **({"why": (None, told.why)} if told.why is not None else {})}
    await keep_audit(
        connection,
        audit_row(now, by=told.by, action=action, subject=after.route, through=told.through, changes=changes),
    )


def _changes(before: Promotion | None, after: Promotion) -> Mapping[str, tuple[Any, Any]]:
    """Return what the audit says of a change, field by field."""
    names = ("number", "model", "state", "share", "reason", "expires_at", "ended_because")
    pairs = {name: (_plain(getattr(before, name, None)), _plain(getattr(after, name))) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
