"""What the ledger says of itself when it is scraped."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """Rows between the journal and the database, of this process since its start."""

    queued: int = 0
    """Rows that wait in this process's journal."""
    oldest_age_s: float = 0.0
    """Since the oldest of them finished."""
    written: int = 0
    """Rows that were new to the database, dead processes' too."""
    dropped: int = 0
    """Rows that are lost: the journal could not take them, nor the file of refused rows."""
    refused: int = 0
    """Rows that the database refused, and that are kept in a file."""
    journal_bytes: int = 0
    """On the disk, dead processes' journals that wait among them."""
    sync_failures: int = 0
    damaged: int = 0
    """Stretches of journals that could not be read back."""
