"""Rows that the database refuses for their own sake: kept in a file beside the journals, for a person to look at."""

import os
from pathlib import Path
from typing import Final

import orjson
import structlog

from gateway.ledger.entry import Entry

FILE: Final = "refused.jsonl"

log = structlog.get_logger("ledger")


class RefusedRows:
    """The file, one JSON object a line; several processes may append to it at once."""

    def __init__(self, root: Path) -> None:
        self.path = root / FILE
        self.kept = 0
        """Rows that are in the file because of this process."""
        self.lost = 0
        """Rows that could not even be written there; what they held is in the log."""

    def keep(self, entry: Entry, error: Exception) -> None:
        """Append one row with the class of what refused it, on the disk before this returns; never raises.

        Blocks for a sync of the file, so call it in a thread. After a crash a row may be there twice.
        """
        row = orjson.dumps(
            {"refused_by": type(error).__name__, **entry._asdict()}, default=str, option=orjson.OPT_UTC_Z
        ).decode()
        ids = {"attempt_id": str(entry.attempt_id), "request_id": entry.request_id, "error": type(error).__name__}
        try:
            # One write, so that two processes' lines do not mix.
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, row.encode() + b"\n")
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as unwritable:
            self.lost += 1
            log.error("ledger_row_refused_and_lost", row=row, why=str(unwritable), lost=self.lost, **ids)
        else:
            self.kept += 1
            log.error("ledger_row_refused", kept_in=str(self.path), refused=self.kept, **ids)
