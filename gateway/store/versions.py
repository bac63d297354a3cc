"""The versions of each route's model: how they came to be, where they stand, and what is known of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, RowMapping, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.config.routes import Route
from gateway.policy.promotion import Version, VersionStatus
from gateway.store.database import Database, alone_with, unavailable_as_such, where, writing
from gateway.store.rows import Rows
from gateway.store.tables_training import promotions, versions

VERSIONS: Final = "versions"
"""Who moves a route's versions is alone with this and the route's name."""
_p, _v = promotions.c, versions.c
Origin = Literal["routes", "job", "adapter", "named"]
_FILLED_IN = ("base", "job_id", "dataset_hash", "pack_hash", "evaluation_id", "trained_system", "cost_nanousd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What somebody says of a version that may be new; None: not known."""

    provider: str
    model: str
    origin: Origin
    by: str
    base: str | None = None
    job_id: str | None = None
    """Our ``tuning_jobs.job_id``."""
    dataset_hash: str | None = None
    pack_hash: str | None = None
    evaluation_id: str | None = None
    trained_system: Sequence[str] = ()
    cost_nanousd: int | None = None


class VersionStore:
    """The table ``versions``. Every method may raise ``DatabaseUnavailable``.

    A ``Route`` is as routes.yaml has it, never one whose primary a promotion has replaced: numbers begin with the
    primary that it names.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._rows = database, Rows(database)

    async def of_route(self, route: str) -> list[Version]:
        """Return every version of a route by number."""
        return await self._read(_v.route == route)

    async def all(self) -> list[Version]:
        """Return every version of every route, by route and number."""
        return await self._read()

    async def serving(self) -> dict[str, Version]:
        """Return the version that serves, by route; without routes of which none is known to."""
        return {version.route: version for version in await self._read(_v.status == VersionStatus.SERVING)}

    async def trained_systems(self) -> dict[tuple[str, str, str], tuple[str, ...]]:
        """Return the system messages of the training by route, provider and model: of whoever serves, where known."""
        serving = await self._read(_v.status == VersionStatus.SERVING)
        return {(v.route, v.provider, v.model): tuple(v.trained_system) for v in serving if v.trained_system}

    async def find(self, route: str, number: int) -> Version | None:
        """Return one version, or None."""
        return next(iter(await self._read(_v.route == route, _v.number == number)), None)

    async def of_model(self, route: str, provider: str, model: str) -> Version | None:
        """Return the version that is this model, or None."""
        return next(iter(await self._read(_v.route == route, _v.provider == provider, _v.model == model)), None)

    async def register(self, route: Route, said: Registered, now: datetime) -> Version:
        """Return the version of this provider and model: the one that is there, or else a new candidate.

        What was not known of it is filled in; what was known stays. The primary is registered before it, so that v1
        is what the route began with.
        """
        with unavailable_as_such(where(self._database.engine.url)):
            async with writing(self._database) as connection:
                await _follow(connection, route, said.by, now)
                return await _registered(connection, route, said, VersionStatus.CANDIDATE, now)

    async def follow_routes(self, route: Route, by: str, now: datetime) -> Version | None:
        """Make routes.yaml's primary a version that serves; return it, or None where the route has no primary.

        The one that served before it is retired. While a promotion is in force no status changes: who began or ends
        that writes them.
        """
        with unavailable_as_such(where(self._database.engine.url)):
            async with writing(self._database) as connection:
                return await _follow(connection, route, by, now)

    async def set_status(self, route: str, number: int, status: VersionStatus, now: datetime) -> bool:
        """Write where a version stands; tell whether there is such a version."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.begin() as connection:
                return await write_status(connection, route, number, status, now)

    async def attach(
        self,
        route: str,
        number: int,
        *,
        evaluation_id: str | None = None,
        dataset_hash: str | None = None,
        pack_hash: str | None = None,
        trained_system: Sequence[str] | None = None,
        cost_nanousd: int | None = None,
    ) -> bool:
        """Write what has become known of a version in place of what was; None leaves it. Tell whether it is there."""
        known: dict[str, Any] = {
            "evaluation_id": evaluation_id,
            "dataset_hash": dataset_hash,
            "pack_hash": pack_hash,
            "trained_system": list(trained_system) if trained_system is not None else None,
            "cost_nanousd": cost_nanousd,
        }
        known = {name: value for name, value in known.items() if value is not None}
        if not known:
            return await self.find(route, number) is not None
        change = update(versions).values(**known).where(_v.route == route, _v.number == number)
        return (await self._rows.write(change))[0] > 0

    async def _read(self, *conditions: ColumnElement[bool]) -> list[Version]:
        query = select(versions).where(*conditions).order_by(_v.route, _v.number)
        return [_version(row) for row in await self._rows.read(query)]


async def write_status(
    connection: AsyncConnection, route: str, number: int, status: VersionStatus, now: datetime
) -> bool:
    """Write where a version stands, within the transaction of what changed it; tell whether it is there.

    Of a route at most one serves: whoever served before is retired.
    """
    if status is VersionStatus.SERVING:
        before = (_v.route == route, _v.status == VersionStatus.SERVING, _v.number != number)
        retired = {"status": VersionStatus.RETIRED, "changed_at": now}
        await connection.execute(update(versions).values(**retired).where(*before))
    # Only a change has an instant: what stays as it is has not changed now.
    own = (_v.route == route, _v.number == number)
    change = update(versions).values(status=status, changed_at=now).where(*own, _v.status != status)
    if (await connection.execute(change)).rowcount > 0:
        return True
    return (await connection.execute(select(_v.number).where(*own))).first() is not None


async def _follow(connection: AsyncConnection, route: Route, by: str, now: datetime) -> Version | None:
    primary = route.primary
    if primary is None:
        return None
    # A promotion that begins between this look and what follows from it would have its statuses undone.
    await alone_with(connection, VERSIONS, route.name)
    promoted = (await connection.execute(_in_force(route.name))).first() is not None
    status = VersionStatus.CANDIDATE if promoted else VersionStatus.SERVING
    said = Registered(provider=primary.provider.name, model=primary.model, base=primary.base, origin="routes", by=by)
    version = await _registered(connection, route, said, status, now)
    if promoted:
        return version
    await write_status(connection, route.name, version.number, VersionStatus.SERVING, now)
    return version if version.status is status else replace(version, status=status, changed_at=now)


def _in_force(route: str) -> Any:
    return select(_p.promotion_id).where(_p.route == route, _p.ended_at.is_(None)).limit(1)


async def _registered(
    connection: AsyncConnection, route: Route, said: Registered, status: VersionStatus, now: datetime
) -> Version:
    own = (_v.route == route.name, _v.provider == said.provider, _v.model == said.model)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    # Another may take the number meanwhile, or register the same model: then this sees it with its next look.
    while (row := (await connection.execute(select(versions).where(*own))).mappings().first()) is None:
        last = (await connection.execute(select(func.max(_v.number)).where(_v.route == route.name))).scalar()
        new = {
            **asdict(said),
            "trained_system": list(said.trained_system),
            "route": route.name,
            "number": (last or 0) + 1,
            "tenant": route.tenant or "",
            "status": status,
            "created_at": now,
            "changed_at": now,
        }
        await connection.execute(insert(versions).values(**new).on_conflict_do_nothing())
    version = _version(row)
    news = {name: getattr(said, name) for name in _FILLED_IN if not getattr(version, name) and getattr(said, name)}
    if not news:
        return version
    values = {name: list(value) if name == "trained_system" else value for name, value in news.items()}
    await connection.execute(update(versions).values(**values).where(*own))
    return replace(version, **news)


def _version(row: RowMapping | dict[str, Any]) -> Version:
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    status, trained_system = VersionStatus(values.pop("status")), tuple(values.pop("trained_system"))
    return Version(**values, status=status, trained_system=trained_system)
