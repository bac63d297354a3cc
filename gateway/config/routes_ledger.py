"""The frozen values of what routes.yaml says of the ledger."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Durability = Literal["fast", "strict"]
OnFull = Literal["refuse", "serve"]


class Ledger(BaseModel):
    """How rows are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    durability: Durability = "fast"
    """strict: an answer's last bytes wait until its row is on the disk."""
    on_full: OnFull = "refuse"
    """What happens to new requests when the journal is full."""
    journal_mib: int = 1024
    """The journal's limit, in MiB."""
    retention_days: int = 400
    """After how many days rows are deleted; hourly totals stay."""
