"""Where the parts of a running gateway find the database's tables: None until it is open."""

from dataclasses import dataclass

from gateway.clock import Clock
from gateway.store.database import Database
from gateway.store.keys import KeyStore
from gateway.store.limits import LimitStore
from gateway.store.outbox import Outbox
from gateway.store.promotions import PromotionStore
from gateway.store.published import PublishedStore
from gateway.store.spend import SpendStore
from gateway.store.states import StateStore
from gateway.store.usage import UsageStore
from gateway.store.versions import VersionStore


@dataclass(slots=True)
class Stores:
    """One of each, for all of this process."""

    database: Database | None = None
    keys: KeyStore | None = None
    limits: LimitStore | None = None
    outbox: Outbox | None = None
    promotions: PromotionStore | None = None
    published: PublishedStore | None = None
    spend: SpendStore | None = None
    states: StateStore | None = None
    usage: UsageStore | None = None
    versions: VersionStore | None = None

    def open(self, database: Database, usage: UsageStore, instance: str, clock: Clock) -> None:
        """Have them be those of a database; ``instance`` is this replica's name."""
        self.database, self.usage = database, usage
        self.keys, self.spend = KeyStore(database, clock), SpendStore(database)
        self.limits, self.outbox = LimitStore(database), Outbox(database)
        self.published, self.states = PublishedStore(database), StateStore(database, instance)
        self.promotions, self.versions = PromotionStore(database), VersionStore(database)
