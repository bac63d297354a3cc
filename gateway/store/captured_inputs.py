"""The inputs among what was captured of live traffic: what a primary can be asked again."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, select

from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_learning import captured, recordings

_c, _r = captured.c, recordings.c


@dataclass(frozen=True, slots=True)
class CapturedInput:
    """One request of live traffic, as it was kept: redacted."""

    input_id: str
    request: str
    """JSON: ``{"messages": […], "tools": […]}``."""
    answer: str
    """JSON: the assistant's message, whoever gave it."""
    request_id: str
    user_digest: str | None


class CapturedInputs:
    """Reads. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def captured_inputs(self, route: str, tenant: str, now: datetime) -> list[CapturedInput]:
        """Return what is kept of a route and of this tenant alone, oldest first; not what has expired by ``now``."""
        columns = (_c.input_id, _c.request, _c.answer, _c.request_id, _c.user_digest)
        own = (_c.route == route, _c.tenant == tenant, _c.expires_at > now)
        found = await self._rows.read(select(*columns).where(*own).order_by(_c.captured_id))
        return [CapturedInput(**row) for row in found]

    async def waiting(self, route: str, tenant: str, provider: str, model: str, now: datetime) -> int:
        """Return how many of them the primary's recordings lack."""
        recorded = (
            _r.route == _c.route,
            _r.input_id == _c.input_id,
            _r.tenant == _c.tenant,
            _r.provider == provider,
            _r.model == model,
        )
        own = (_c.route == route, _c.tenant == tenant, _c.expires_at > now, ~exists().where(*recorded))
        return int(
            (await self._rows.read(select(func.count().label("rows")).select_from(captured).where(*own)))[0]["rows"]
        )
