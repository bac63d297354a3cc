"""What a replica keeps of the database's keys, so that it can start without the database: digests, and no key."""

import contextlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.store.keys import KeyRow, caller_values, key_row

NAME: Final = "keys.jsonl"
_FORMAT: Final = 1
_INSTANTS: Final = ("expires_at", "old_until", "created_at", "revoked_at")


class UnusableKeyFile(Exception):
    """What was kept cannot be used: made under another pepper, by another version, damaged or tampered with."""


@dataclass(frozen=True, slots=True)
class KeptKeys:
    """The keys of the database as of one version of them."""

    version: int
    rows: Sequence[KeyRow]


class KeyFile:
    """One file of lines: what it is, then a key each; sealed. Its methods block."""

    def __init__(self, directory: Path, seal: bytes) -> None:
        """``seal``: a secret that follows from the pepper."""
        self.path = directory / NAME
        self._seal = seal

    def read(self) -> KeptKeys | None:
        """Return what was kept last; None: nothing was.

        Raises:
            UnusableKeyFile: it is not what this gateway wrote under this pepper.
            OSError: it cannot be read.
        """
        try:
            head, _, lines = self.path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        try:
            said = orjson.loads(head)
            is_ours = said["format"] == _FORMAT and hmac.compare_digest(
                self._mac(said["version"], lines), bytes.fromhex(said["mac"])
            )
            if not is_ours:
                raise UnusableKeyFile(f"{self.path} was made under another GATEWAY_KEY_PEPPER, or is damaged")
            return KeptKeys(said["version"], [_row(orjson.loads(line)) for line in lines.splitlines()])
        except (ValueError, KeyError, TypeError) as error:
            raise UnusableKeyFile(f"{self.path} is damaged ({type(error).__name__})") from None

    def write(self, kept: KeptKeys) -> None:
        """Replace what was kept, for the owner's eyes alone, so that after a power cut one or the other is there whole.

        Raises:
            OSError: it cannot be written; what was kept before stays.
        """
        lines = b"".join(orjson.dumps(_plain(row)) + b"\n" for row in kept.rows)
        head = {"format": _FORMAT, "version": kept.version, "mac": self._mac(kept.version, lines).hex()}
        part = self.path.with_name(f".{NAME}.{os.getpid()}")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(orjson.dumps(head) + b"\n" + lines)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _mac(self, version: int, lines: bytes) -> bytes:
        return hmac.digest(self._seal, b"%d\n" % version + lines, "sha256")


def _plain(row: KeyRow) -> dict[str, Any]:
    return {
        "key_id": row.caller.id,
        "digest": row.digest,
        "old_digest": row.old_digest,
        "old_until": row.old_until,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "revoked_at": row.revoked_at,
        "version": row.version,
        **caller_values(row.caller),
    }


def _row(plain: dict[str, Any]) -> KeyRow:
    instants = {name: datetime.fromisoformat(plain[name]) for name in _INSTANTS if plain[name] is not None}
    return key_row(plain | instants)
