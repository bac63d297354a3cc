"""The dated table of what models take: ours, each row with its source. ``routes.yaml`` outranks it."""

from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from gateway.config.routes import Frozen
from gateway.policy.capabilities import CapabilityRow

PATH: Final = Path(__file__).parent.parent / "data" / "capabilities.json"


class CapabilityTable(Frozen):
    """The file."""

    dated: date
    rows: tuple[CapabilityRow, ...]


def read_table(path: Path = PATH) -> CapabilityTable:
    """Read the table. Raises pydantic's ``ValidationError`` where the file is not of the documented shape."""
    return TypeAdapter(CapabilityTable).validate_json(path.read_bytes())


@cache
def capability_rows() -> tuple[CapabilityRow, ...]:
    """Return the rows that ship: read once, since they cannot change."""
    return read_table().rows
