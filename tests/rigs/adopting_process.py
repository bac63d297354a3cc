"""A process that takes up dead journals once, for tests: ROOT URL [METHOD OF THE STORE AT WHICH IT DIES]."""

import asyncio
import os
import sys
from pathlib import Path

from gateway.clock import SystemClock
from gateway.config.routes_ledger import Ledger
from gateway.ledger.adoption import Adoption
from gateway.ledger.delivery import Delivery
from gateway.ledger.journal import Journal
from gateway.ledger.refused import RefusedRows
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.usage import UsageStore


class MortalStore(UsageStore):
    """Ends its process, as a kill does, at one call."""

    dies_at = ""

    async def forget_journal(self, journal: str) -> None:
        if self.dies_at == "forget_journal":
            os._exit(9)
        await super().forget_journal(journal)


async def main(root: Path, url: str, dies_at: str = "") -> None:
    database = await Database.open(url)
    store = MortalStore(database)
    store.dies_at = dies_at
    journal = Journal.open(root, database=url, clock=SystemClock(), ledger=Ledger())
    adoption = Adoption(journal, url, Delivery(lambda: store, RefusedRows(root)), SystemClock())
    for _ in range(100):
        try:
            await adoption.look()
            break
        except DatabaseUnavailable:
            await asyncio.sleep(0.1)
    journal.close(empty=True)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
