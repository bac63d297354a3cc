"""Tables are sorted by links: every order has an address, and needs no script."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

_T = TypeVar("_T")
FALLS: Final = "-"


@dataclass(frozen=True, slots=True)
class Sort:
    """By which column a table is sorted: ``?sort=name``, or falling, ``?sort=-cost``."""

    key: str
    """Empty: as the view sorts by itself."""
    falls: bool
    falling_first: frozenset[str]
    """Columns whose largest values are looked for."""
    kept: tuple[tuple[str, str], ...]
    """What else stands in the address."""

    @classmethod
    def read(
        cls,
        text: str | None,
        keys: Collection[str],
        *,
        falling_first: Collection[str] = (),
        kept: Sequence[tuple[str, str]] = (),
    ) -> "Sort":
        """Read ``?sort=``; what is no column sorts nothing."""
        key = (text or "").removeprefix(FALLS)
        stays = tuple((name, value) for name, value in kept if value)
        if key not in keys:
            return cls("", False, frozenset(falling_first), stays)
        return cls(key, (text or "").startswith(FALLS), frozenset(falling_first), stays)

    def link(self, key: str) -> str:
        """Return the address of the same table sorted by a column; by the same column once more: the other way."""
        falls = not self.falls if key == self.key else key in self.falling_first
        return "?" + urlencode((*self.kept, ("sort", (FALLS if falls else "") + key)))

    def applied(self, rows: Sequence[_T], value_of: Callable[[_T], Any]) -> list[_T]:
        """Return rows in order; those without a value come last either way."""
        known = [row for row in rows if value_of(row) is not None]
        ordered = sorted(known, key=value_of, reverse=self.falls)
        return [*ordered, *(row for row in rows if value_of(row) is None)]
