"""Who is at work on what, so that of any number of commands one is."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_learning import leases

_l = leases.c


class LeaseStore:
    """The table ``leases``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database, self._rows = database, Rows(database)

    async def take(self, name: str, holder: str, now: datetime, for_s: float) -> str | None:
        """Take a lease that nobody has, or whose time is over; None: it is ours, else who has it."""
        postgres = self._database.engine.dialect.name == "postgresql"
        row = {"name": name, "holder": holder, "expires_at": now + timedelta(seconds=for_s)}
        wanted = (postgresql.insert(leases) if postgres else sqlite.insert(leases)).values(row)
        taken = wanted.on_conflict_do_update(index_elements=["name"], set_=row, where=_l.expires_at <= now)
        while True:
            if (await self._rows.write(taken))[0] > 0:
                return None
            found = await self._rows.read(select(_l.holder).where(_l.name == name))
            # None: released in between.
            if found:
                return str(found[0]["holder"])

    async def renew(self, name: str, holder: str, now: datetime, for_s: float) -> bool:
        """Lengthen a lease, even one whose time is over, unless somebody else took it since; tell whether it did."""
        own = update(leases).where(_l.name == name, _l.holder == holder)
        return (await self._rows.write(own.values(expires_at=now + timedelta(seconds=for_s))))[0] > 0

    async def release(self, name: str, holder: str) -> None:
        """Give a lease back; another's stays."""
        await self._rows.write(delete(leases).where(_l.name == name, _l.holder == holder))
