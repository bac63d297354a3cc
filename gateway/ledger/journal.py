"""This process's journal: what every attempt writes before it costs anything, and when it is over."""

import asyncio
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.config.routes_ledger import Ledger
from gateway.errors import ConfigError, LedgerUnavailable
from gateway.ledger import frames, records
from gateway.ledger.entry import Entry
from gateway.ledger.frames import Position
from gateway.ledger.records import Intent
from gateway.ledger.segment_writer import SegmentWriter
from gateway.ledger.segments import DATABASE, SEGMENT_BYTES, FileCalls, remove_journal, take_lock

__all__ = ["Intent", "Journal"]

WARN_AT: Final = 0.80
NOT_READY_AT: Final = 0.95

_MIB: Final = 1 << 20


class Journal:
    """Where attempts are kept until the database has them. Everything is called in the event loop's thread.

    What is written survives the process's death at once (``fast``), and the machine's within 50 ms, or before an
    answer ends (``strict``).
    """

    def __init__(self, directory: Path, writer: SegmentWriter, lock: int, ledger: Ledger) -> None:
        self.directory = directory
        self.name = directory.name
        self.wake = asyncio.Event()
        """Set when a settle has been written."""
        self.foreign_bytes = 0
        """Of journals of dead processes that wait for the database too; they count into the limit."""
        self.has_holds = False
        """Whether the database may have money set aside under this journal's name (``store.spend``)."""
        self.settled = 0
        """Rows that were written here, or wait for room."""
        self.dropped = 0
        """Attempts that have no row here."""
        self.damaged = 0
        """Damaged stretches that were found when it was read back."""
        self._writer = writer
        self._largest = min(frames.MAX_PAYLOAD, writer.largest - frames.HEADER)
        self._lock = lock
        self._log = structlog.get_logger("ledger")
        self._unwritten: set[str] = set()
        """Attempts in flight whose intent was not written."""
        self._warned = False
        self._closed = False
        writer.wrote_parked = self.wake.set
        self.ledger = ledger

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        database: str,
        clock: Clock,
        ledger: Ledger,
        files: FileCalls | None = None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> "Journal":
        """Make a new journal below ``root`` for rows that go to ``database``, and hold its lock.

        Raises:
            ConfigError: the directory cannot be used.
        """
        files = files or FileCalls()
        name = f"{clock.now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        # Under a hidden name until it is whole and locked, so that nobody takes it for a dead process's.
        unready, directory = root / f".{name}", root / name
        lock = None
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            unready.mkdir(mode=0o700)
            lock = take_lock(unready, create=True)
            if lock is None:
                raise OSError("its lock cannot be taken")
            _write_database(unready / DATABASE, database)
            unready.rename(directory)
            writer = SegmentWriter(directory, segment_bytes, files)
            files.sync_directory(root)
        except OSError as error:
            if lock is not None:
                for left in (unready, directory):
                    with suppress(OSError):
                        remove_journal(left)
                os.close(lock)
            raise ConfigError(
                f"The ledger's journal cannot be written below {root}: {error.strerror or error}. Make room there "
                "and let the gateway's user write to it, or name another directory in GATEWAY_JOURNAL_DIR."
            ) from error
        return cls(directory, writer, lock, ledger)

    @property
    def ledger(self) -> Ledger:
        """How rows are kept; assigned anew at a reload."""
        return self._ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._limit = ledger.journal_mib * _MIB
        self._warn_above = int(self._limit * WARN_AT)
        # Under ``refuse`` those of requests in flight still begin, a while.
        self._most = self._limit if ledger.on_full == "serve" else self._limit + self._writer.largest
        """Bytes beyond which no attempt begins."""

    @property
    def end(self) -> Position:
        """Where the next frame goes."""
        return self._writer.end

    @property
    def bytes_used(self) -> int:
        """Bytes of all that waits for the database, in this journal and in those of dead processes."""
        return self._writer.used + self.foreign_bytes

    @property
    def sync_failures(self) -> int:
        """How often the disk failed to sync."""
        return self._writer.sync.failures

    def intent(self, intent: Intent) -> bool:
        """Write that an attempt begins. Never raises.

        False: it was not written, since the journal is full or the disk fails. Its settle is then written if that has
        become possible.
        """
        attempt_id = intent.entry.attempt_id
        if self.bytes_used < self._most:
            try:
                if self._write(records.intent_payload(intent)):
                    return True
            except Exception as error:
                self._log.error("journal_intent_unwritable", attempt_id=attempt_id, error=repr(error))
        self._unwritten.add(attempt_id)
        return False

    def progress(self, attempt_id: str, output_tokens: int) -> None:
        """Write how many output tokens of a stream came so far. Never raises."""
        if attempt_id not in self._unwritten:
            self._write(records.progress_payload(attempt_id, output_tokens))

    def settle(self, entry: Entry) -> None:
        """Write an attempt's row; counted as dropped where that is impossible. Never raises.

        A row that the disk does not take waits in memory until it does; under ``on_full: serve`` only where its intent
        was written, so that no more of them wait than were in flight.
        """
        waits = True
        if self._unwritten and entry.attempt_id in self._unwritten:
            self._unwritten.discard(entry.attempt_id)
            waits = self._ledger.on_full == "refuse"
            if not waits and self.bytes_used >= self._limit:
                self._drop(entry, "the journal is full")
                return
        try:
            payload = records.settle_payload(entry)
            if len(payload) > self._largest:
                self._log.error("journal_row_too_large", attempt_id=entry.attempt_id, bytes=len(payload))
                payload = records.settle_payload(entry._replace(tags=None))
            if not self._write(payload):
                if self._closed or not waits or len(payload) > self._largest:
                    self._drop(entry, "the journal cannot be written")
                    return
                self._writer.park(frames.encode(payload))
        except Exception as error:
            self._drop(entry, repr(error))
            return
        self.settled += 1
        self.wake.set()

    def refuse_new(self) -> str | None:
        """Return why new requests are to be refused now; None: they are welcome."""
        if self._ledger.on_full == "serve":
            return None
        if self.bytes_used >= self._limit:
            return f"the ledger's journal is full ({self._ledger.journal_mib} MiB): its database does not take rows"
        if not (self._writer.has_reserve and self._writer.writable):
            return "the ledger's journal cannot grow: its disk is full or fails"
        if self._gave_up and self._ledger.durability == "strict":
            return "the ledger's journal cannot be synced: its disk fails"
        if self._ledger.durability == "strict" and self._writer.sync.hangs:
            return "the ledger's journal cannot be synced: its disk does not answer"
        return None

    def not_ready(self) -> str | None:
        """Return why this replica should get no traffic now; None: it is ready."""
        if self.bytes_used >= self._limit * NOT_READY_AT:
            return f"ledger: its journal is nearly full ({self._ledger.journal_mib} MiB)"
        if self._writer.sync.failing:
            return "ledger: its journal's disk failed to sync"
        if self._writer.sync.hangs:
            return "ledger: its journal's disk does not answer"
        if not self.directory.exists():
            return "ledger: its journal's directory is gone: start it anew"
        if not (self._writer.has_reserve and self._writer.writable):
            return "ledger: its journal's disk is full or fails"
        return None

    async def synced(self) -> None:
        """In ``strict``, return when everything written so far is on the disk; in ``fast``, at once.

        Raises:
            LedgerUnavailable: ``strict`` with ``on_full: refuse``, and the disk failed twice in a row or hangs.
        """
        if self._ledger.durability == "fast":
            return
        try:
            if not self._writer.writable:
                raise LedgerUnavailable("the ledger's journal cannot be written")
            await self._writer.sync.done()
        except LedgerUnavailable:
            if self._ledger.on_full == "refuse":
                raise

    def release(self, before: Position) -> None:
        """Remove sealed segments wholly before a position: the database has what they hold."""
        self._writer.release(before)
        if self.bytes_used < self._warn_above:
            self._warned = False

    def close(self, *, empty: bool) -> None:
        """Sync and let go. ``empty``: the database has everything, and the directory is removed.

        Otherwise it stays, and the next start takes it up. Blocks for the last sync.
        """
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        if self._writer.parked:
            self.dropped += self._writer.parked
            self._log.error("ledger_rows_dropped", rows=self._writer.parked, error="the journal cannot be written")
        if empty:
            try:
                remove_journal(self.directory)
            except OSError as error:
                self._log.error("journal_not_removed", directory=str(self.directory), error=str(error))
        os.close(self._lock)

    @property
    def _gave_up(self) -> bool:
        return self._writer.sync.gave_up

    def _write(self, payload: bytes) -> bool:
        if self._closed or len(payload) > self._largest:
            return False
        if not self._writer.write(frames.encode(payload)):
            return False
        if not self._warned and self.bytes_used > self._warn_above:
            self._warned = True
            self._log.warning("journal_filling", bytes=self.bytes_used, limit_mib=self._ledger.journal_mib)
        return True

    def _drop(self, entry: Entry, why: str) -> None:
        self.dropped += 1
        if self.dropped > 16 and self.dropped & (self.dropped - 1):
            return  # a full journal would fill the log too: from here on at every power of two
        self._log.error(
            "ledger_row_dropped",
            attempt_id=entry.attempt_id,
            request_id=entry.request_id,
            error=why,
            dropped=self.dropped,
        )


def _write_database(path: Path, database: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(database)
        file.flush()
        os.fsync(file.fileno())
