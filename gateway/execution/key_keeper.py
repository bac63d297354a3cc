"""Keeps the ring current: keys of the database, read when any of them changes, and those that routes.yaml declares.

Once a second the newest change's number is read, and, where it is new, what changed since. What is known is kept in a
file, so that a replica whose database is away at its start knows the keys all the same. Nothing here is on a request's
way.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import structlog

from gateway.clock import Clock
from gateway.config.callers import RESERVED_NAMES, Caller, DeclaredKey, KeyRole
from gateway.execution.key_file import KeptKeys, KeyFile, UnusableKeyFile
from gateway.execution.key_ring import KeyRing
from gateway.store.database import DatabaseUnavailable
from gateway.store.keys import KeyRow, KeyStore

log = structlog.get_logger()
POLL_S = 1.0
DATABASE_S = 10.0
"""For what a poll asks of the database: one that hangs must not keep a replica from ever following again."""
PAGE = 150
"""Keys that are read at once: some 5 ms of processor time."""
KEYS = "keys"
_NOT_KNOWN = "keys: the database has not been read yet"


class _Known(NamedTuple):
    row: KeyRow
    entries: Sequence[tuple[bytes, Caller]]
    """Which digests open for it, and as whom."""


class KeyKeeper:
    """The keys of this replica, all of them. Without a pepper it keeps none, and says so (``ring.is_keyed``)."""

    def __init__(
        self,
        ring: KeyRing,
        file: KeyFile,
        store: Callable[[], KeyStore | None],
        clock: Clock,
        waiting_for: Callable[[], dict[str, str]],
    ) -> None:
        """``store`` returns None while no database is open; ``waiting_for`` says why the replica is not ready."""
        self.ring = ring
        self._file, self._store, self._clock, self._waiting_for = file, store, clock, waiting_for
        self.declared: Mapping[str, DeclaredKey] = {}
        """The keys of the routes.yaml that is in force, by name."""
        self._known: dict[str, _Known] = {}
        """The database's keys that are not revoked, by id."""
        self._revoked: set[str] = set()
        self._version = -1
        self.read_at: datetime | None = None
        """When the database last said which keys there are; None: not since the start."""
        self._shadowed: frozenset[str] = frozenset()
        self.took_kept = False
        """Whether it began with the keys that were known before this start."""
        self._unkept = False
        self._away = self._unwritable = False
        self._turn = asyncio.Lock()

    @property
    def ends(self) -> list[datetime | None]:
        """When each key ends that is not revoked, those of routes.yaml too; None: never."""
        callers = [known.row.caller for known in self._known.values()]
        return [caller.expires_at for caller in (*callers, *(key.caller for key in self.declared.values()))]

    @property
    def version(self) -> int:
        """Of the newest change that is known here; −1: none was read yet."""
        return self._version

    @property
    def revoked(self) -> int:
        """How many keys are revoked; 0 also until the database was read."""
        return len(self._revoked)

    def store(self) -> KeyStore:
        """Return where the database's keys are. Raises ``DatabaseUnavailable`` before it is open."""
        store = self._store()
        if store is None:
            raise DatabaseUnavailable("the database is not open yet")
        return store

    def declare(self, declared: Mapping[str, DeclaredKey]) -> None:
        """Have these be the keys of routes.yaml, at once."""
        self.declared = declared if self.ring.is_keyed else {}
        self._put(all_of_them=False)

    async def take_kept(self) -> None:
        """Before the first request: know the keys that were known last, whether the database is there or not."""
        if not self.ring.is_keyed:
            return
        self._waiting_for()[KEYS] = _NOT_KNOWN
        try:
            kept = await asyncio.to_thread(self._file.read)
        except (UnusableKeyFile, OSError) as error:
            log.warning("kept_keys_not_used", error=str(error))
            return
        if kept is not None:
            self._take([_known(row, self._clock.now()) for row in kept.rows])
            self._waiting_for().pop(KEYS, None)
            self._put(all_of_them=False)
            self.took_kept = True
            log.info("kept_keys_taken", keys=len(self._known), version=kept.version)

    async def run(self) -> None:
        """Keep at it; a database that is away is tried again at every poll."""
        while self.ring.is_keyed:
            await self.poll()
            await self._clock.sleep(POLL_S)

    async def poll(self) -> None:
        """Read what is new, and keep it: once. Never raises."""
        if self._store() is None:
            return
        try:
            async with asyncio.timeout(DATABASE_S):
                await self.refresh()
                if not self.ring.is_keyed and await self.store().version():
                    log.warning("keys_do_not_count", why="GATEWAY_KEY_PEPPER is not set; the database has keys")
        except (DatabaseUnavailable, TimeoutError) as error:
            if not self._away:
                log.warning("keys_not_read", error=str(error) or f"no answer within {DATABASE_S:g} s")
            self._away = True
        except Exception:
            # Nobody waits for this task, and a key that was revoked must stop to open.
            log.exception("keys_not_read")
        else:
            self._away = False
            await self._keep()

    async def refresh(self) -> None:
        """Read what is new now; for whoever has just changed a key.

        Raises:
            DatabaseUnavailable: it cannot be reached; what was known stays.
        """
        if not self.ring.is_keyed:
            return
        store = self.store()
        async with self._turn:
            newest = await store.version()
            if newest == self._version:
                self.read_at = self._clock.now()
                return
            # A database that was set back has other keys than those that are known here.
            since = self._version if newest > self._version else -1
            changed: list[_Known] = []
            after = ""
            while page := await store.changed(since, after=after, limit=PAGE):
                changed += [_known(row, self._clock.now()) for row in page]
                after = page[-1].caller.id
            if since < 0:
                self._known, self._revoked = {}, set()
            self._take(changed)
            # Before the pages were read: what changed in between has a higher number, and is read again.
            self._version = newest
            self._unkept, self.read_at = True, self._clock.now()
            self._waiting_for().pop(KEYS, None)
            self._put(all_of_them=True)
            log.info("keys_read", changed=len(changed), keys=len(self._known), version=newest)

    def _take(self, changed: "Sequence[_Known]") -> None:
        for known in changed:
            id_ = known.row.caller.id
            if known.row.revoked_at is None:
                self._known[id_] = known
            else:
                self._known.pop(id_, None)
                self._revoked.add(id_)

    def _put(self, *, all_of_them: bool) -> None:
        """Put what is known on the ring; of two keys with one name, routes.yaml's counts."""
        taken = RESERVED_NAMES | self.declared.keys()
        shadowed = taken & {known.row.caller.name for known in self._known.values()}
        for name in sorted(shadowed - self._shadowed):
            log.warning("key_shadowed", key=name, why="routes.yaml or the environment has a key of this name")
        self._shadowed = shadowed
        found = [
            entry for known in self._known.values() if known.row.caller.name not in shadowed for entry in known.entries
        ]
        found += [(key.digest, key.caller) for key in self.declared.values()]
        self.ring.replace(found, all_of_them=all_of_them)

    async def _keep(self) -> None:
        if not self._unkept:
            return
        self._unkept = False
        try:
            rows = [known.row for known in self._known.values()]
            await asyncio.to_thread(self._file.write, KeptKeys(self._version, rows))
        except OSError as error:
            self._unkept = True
            if not self._unwritable:
                log.warning("keys_not_kept", file=str(self._file.path), error=str(error))
            self._unwritable = True
        else:
            self._unwritable = False


def _known(row: KeyRow, now: datetime) -> _Known:
    """Return a key with what opens for it; the one before a rotation expires with its grace."""
    caller = row.caller
    if caller.role is KeyRole.ADMIN:
        # Nobody makes such keys; whoever can write into the database must not become an administrator by a word.
        log.error("key_unusable", key=caller.name, why="a key of the database is no administrator's")
        return _Known(row, [])
    try:
        entries = [(bytes.fromhex(row.digest), caller)]
        if row.old_digest is not None and row.old_until is not None and now < row.old_until:
            ends = min(row.old_until, caller.expires_at or row.old_until)
            entries.append((bytes.fromhex(row.old_digest), replace(caller, expires_at=ends)))
    except ValueError:
        # One that somebody wrote by hand must not keep the others from being read.
        log.error("key_unreadable", key=caller.name)
        entries = []
    return _Known(row, entries)
