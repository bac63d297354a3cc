"""What rehearsals may still cost today, agreed on by all replicas; and what they showed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

from sqlalchemy import select, update

from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_learning import rehearsal_budgets, rehearsal_pairs

_b, _p = rehearsal_budgets.c, rehearsal_pairs.c


@dataclass(frozen=True, slots=True)
class Pair:
    """A rehearsal beside the live answer of the same request; differences are fallback minus primary."""

    attempt_id: str
    request_id: str
    route: str
    target: str
    prompt_version: str | None
    cost_nanousd: int | None
    """None: one of them has no price."""
    duration_ms: float
    ttft_ms: float | None
    """None: not streamed."""
    agreement: float | None
    """How much alike the answers are, from 0 to 1."""


class RehearsalStore:
    """Reads and writes. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def reserve(self, route: str, day: date, nanousd: int, limit_nanousd: int) -> bool:
        """Set money aside for a day, unless that would pass the limit; what is set aside counts for every replica."""
        if nanousd > limit_nanousd:
            return False
        own = (_b.route == route, _b.day == day)
        more = update(rehearsal_budgets).where(*own, _b.reserved_nanousd + nanousd <= limit_nanousd)
        if (await self._rows.write(more.values(reserved_nanousd=_b.reserved_nanousd + nanousd)))[0]:
            return True
        if await self._rows.read(select(_b.day).where(*own)):
            return False
        # Where another replica is the first of this day, its row counts.
        await self._rows.insert_new(rehearsal_budgets, [{"route": route, "day": day, "reserved_nanousd": 0}])
        return await self.reserve(route, day, nanousd, limit_nanousd)

    async def release(self, route: str, day: date, nanousd: int) -> None:
        """Give back what was set aside and not spent; a negative sum is what was spent beyond it."""
        own = (_b.route == route, _b.day == day)
        await self._rows.write(
            update(rehearsal_budgets).where(*own).values(reserved_nanousd=_b.reserved_nanousd - nanousd)
        )

    async def reserved(self, route: str, day: date) -> int:
        """Return what is set aside for a day, spent or not."""
        found = await self._rows.read(select(_b.reserved_nanousd).where(_b.route == route, _b.day == day))
        return int(found[0]["reserved_nanousd"]) if found else 0

    async def keep(self, pairs: Sequence[Pair]) -> None:
        """Keep pairs."""
        await self._rows.insert_new(rehearsal_pairs, [asdict(pair) for pair in pairs])

    async def latest(self, route: str, limit: int) -> list[Pair]:
        """Return a route's latest pairs, the oldest of them first."""
        query = select(rehearsal_pairs).where(_p.route == route).order_by(_p.attempt_id.desc()).limit(limit)
        return [Pair(**row) for row in reversed(await self._rows.read(query))]
