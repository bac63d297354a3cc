"""What Prometheus is told of keys: how many there are of each kind, and how fresh that is; never which."""

import asyncio
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from fake_clock import FakeClock
from migrated_database import migrated
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from gateway.config.callers import Caller, DeclaredKey
from gateway.execution.key_collector import KeyCollector
from gateway.execution.key_file import KeyFile
from gateway.execution.key_keeper import KeyKeeper
from gateway.execution.key_ring import KeyRing
from gateway.metrics.exposition import page
from gateway.store.database import Database
from gateway.store.keys import KeyStore


class Counted:
    """A keeper and what its collector says."""

    def __init__(self, directory: Path, clock: FakeClock, pepper: bytes | None = b"p" * 32) -> None:
        self.ring = KeyRing("env", "admin", pepper=pepper)
        self.store: KeyStore | None = None
        file = KeyFile(directory, self.ring.secret_for("kept keys"))
        self.keeper = KeyKeeper(self.ring, file, lambda: self.store, clock, dict)
        self.registry = CollectorRegistry()
        self.registry.register(KeyCollector(self.keeper, clock))

    def said(self) -> dict[str, float]:
        """Return every sample, by its state or its name."""
        families = text_string_to_metric_families(page(self.registry).decode())
        samples = [sample for family in families for sample in family.samples]
        return {sample.labels.get("state", sample.name): sample.value for sample in samples}


async def test_keys_are_counted_by_state_and_by_nothing_else(tmp_path: Path) -> None:
    clock = FakeClock()
    now = clock.now()
    counted = Counted(tmp_path, clock)
    assert counted.said() == {
        "active": 0,
        "expiring": 0,
        "expired": 0,
        "revoked": 0,
        "gateway_keys_known_timestamp_seconds": 0,
    }
    await asyncio.to_thread(migrated, f"sqlite:///{tmp_path / 'gateway.db'}")
    database = await Database.open(f"sqlite:///{tmp_path / 'gateway.db'}")
    counted.store = KeyStore(database, clock)
    ends = (None, now + timedelta(days=8), now + timedelta(days=7), now + timedelta(hours=1), now, None)
    for number, end in enumerate(ends):
        caller = Caller(f"key_{number:08d}", f"app-{number}", expires_at=end)
        await counted.store.create(caller, f"{number:064x}", by="ann", through="cli")
    await counted.store.revoke("key_00000005", by="ann", through="cli")
    declared = DeclaredKey("git", b"d", Caller("yaml:git", "git"))
    counted.keeper.declare(MappingProxyType({"git": declared}))
    await counted.keeper.refresh()
    read_at = counted.said()["gateway_keys_known_timestamp_seconds"]
    assert read_at == now.timestamp()
    expected = {"active": 3, "expiring": 2, "expired": 1, "revoked": 1}
    assert counted.said() == {**expected, "gateway_keys_known_timestamp_seconds": read_at}
    clock.advance(60)
    assert counted.said()["gateway_keys_known_timestamp_seconds"] == read_at
    await counted.keeper.refresh()
    assert counted.said()["gateway_keys_known_timestamp_seconds"] == read_at + 60
    await database.close()


def test_without_a_pepper_nothing_is_said_of_keys_that_cannot_be(tmp_path: Path) -> None:
    assert Counted(tmp_path, FakeClock(), None).said() == {}
