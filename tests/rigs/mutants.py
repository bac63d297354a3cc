"""What a gateway of the rigs leaves out, to show that a rig would notice; and a record of what a power cut leaves."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def no_sync() -> None:
    """Never bring the journal's bytes to the disk, and say that it was done."""
    from gateway.ledger.segments import FileCalls

    FileCalls.sync = lambda _self, _descriptor: None  # type: ignore[assignment,method-assign]


def no_conflict_rule() -> None:
    """Insert rows as if none could be there already."""
    _rewrite(" ON CONFLICT (attempt_id) DO NOTHING", "")


def conflicts_are_new() -> None:
    """Take a row that is there already for a new one."""
    _rewrite("ON CONFLICT (attempt_id) DO NOTHING", "ON CONFLICT (attempt_id) DO UPDATE SET route = excluded.route")


def no_replay() -> None:
    """Leave dead journals alone."""
    from gateway.ledger.adoption import Adoption

    async def look(_self: Adoption) -> None:
        """Find nothing."""

    Adoption.look = look  # type: ignore[method-assign]


def no_checkpoint() -> None:
    """Never note how far a journal is in the database."""
    from gateway.store.usage import UsageStore

    insert = UsageStore.insert_attempts

    async def without(self: UsageStore, rows: Any, checkpoint: object = None) -> int:
        return await insert(self, rows)

    UsageStore.insert_attempts = without  # type: ignore[method-assign]


MUTANTS: Mapping[str, Callable[[], None]] = {
    "no sync": no_sync,
    "no conflict rule": no_conflict_rule,
    "conflicts are new": conflicts_are_new,
    "no replay": no_replay,
    "no checkpoint": no_checkpoint,
}


def record_power(notes: Path) -> None:
    """Note what is on the disk for certain: bytes that a sync came after, and names that their directory's did.

    Files are told apart by their inode, since they are renamed. ``notes`` is appended to: one JSON object a line.
    """
    from gateway.ledger.segments import FileCalls

    pwrite, sync, fsync = os.pwrite, FileCalls.sync, os.fsync
    written: dict[int, int] = {}
    kept = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(**what: Any) -> None:
        os.write(kept, json.dumps(what).encode() + b"\n")

    def noting_pwrite(fd: int, data: bytes, offset: int) -> int:
        count = pwrite(fd, data, offset)
        inode = os.fstat(fd).st_ino
        written[inode] = max(written.get(inode, 0), offset + count)
        return count

    def noting_sync(self: FileCalls, fd: int) -> None:
        inode = os.fstat(fd).st_ino
        upto = written.get(inode, 0)
        sync(self, fd)
        note(inode=inode, bytes=upto)

    def noting_fsync(fd: int) -> None:
        inode, path = os.fstat(fd).st_ino, Path(os.readlink(f"/proc/self/fd/{fd}"))
        if path.is_dir():
            names = {entry.name: entry.inode() for entry in os.scandir(path)}
            fsync(fd)
            note(inode=inode, names=names)
        else:
            upto = os.fstat(fd).st_size
            fsync(fd)
            note(inode=inode, bytes=upto)

    os.pwrite, os.fsync = noting_pwrite, noting_fsync  # type: ignore[assignment]
    FileCalls.sync = noting_sync  # type: ignore[method-assign]


def cut_power(root: Path, notes: Path) -> int:
    """Make the journals below a root what a power cut may leave of them; returns how many bytes are gone.

    Room that was allocated stays and reads as zeros; a name that was never brought to the disk is gone.
    """
    held: dict[int, int] = {}
    names: dict[int, dict[str, int]] = {}
    for line in notes.read_text().splitlines():
        found = json.loads(line)
        if "names" in found:
            names[found["inode"]] = found["names"]
        else:
            held[found["inode"]] = max(held.get(found["inode"], 0), found["bytes"])
    lost = 0
    for path in sorted(root.rglob("*"), reverse=True):
        inode, parent = path.stat().st_ino, path.parent.stat().st_ino
        if names.get(parent, {}).get(path.name) != inode:
            lost += _remove(path)
        elif path.suffix == ".seg":
            lost += _blank(path, held.get(inode, 0))
        elif path.is_file():
            os.truncate(path, min(path.stat().st_size, held.get(inode, 0)))
    return lost


def _remove(path: Path) -> int:
    if path.is_dir():
        for each in path.iterdir():
            each.unlink()
        path.rmdir()
        return 0
    size = len(path.read_bytes().rstrip(b"\0"))
    path.unlink()
    return size


def _blank(segment: Path, since: int) -> int:
    rest = segment.read_bytes()[since:]
    with segment.open("r+b") as file:
        file.seek(since)
        file.write(bytes(len(rest)))
    return len(rest.rstrip(b"\0"))


def _rewrite(old: str, new: str) -> None:
    """Have a part of every statement replaced on its way to the database."""
    from sqlalchemy.engine.default import DefaultDialect

    def rewriting(original: Any) -> Any:
        def execute(self: Any, cursor: Any, statement: str, *rest: Any, **kwargs: Any) -> Any:
            # However the statement is laid out.
            plain = " ".join(statement.split())
            return original(self, cursor, plain.replace(old, new) if old in plain else statement, *rest, **kwargs)

        return execute

    for name in ("do_execute", "do_executemany"):
        setattr(DefaultDialect, name, rewriting(vars(DefaultDialect)[name]))
