"""Which routes still lack recordings of their primary, and how long there is to make them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from gateway.config.routes import Route, Routes
from gateway.learning.recordings.plan import asked_with
from gateway.lifecycle.calendar import Calendar
from gateway.store.captured_inputs import CapturedInputs
from gateway.store.recordings import Recorded

ENOUGH_INPUTS: Final = 50
"""With fewer a fallback can hardly be judged: an agreement's 95 % interval is then wider than ±0.14 (Wald, at 0.5)."""


@dataclass(frozen=True, slots=True)
class RouteRecordings:
    """A route's primary, and what is kept of it."""

    route: Route
    shutdown: date | None
    days_left: int | None
    """Below 1: it has stopped. None: nobody knows of a date."""
    recorded: Recorded
    captured_waiting: int
    training_file: Path | None
    has_training_file: bool

    @property
    def has_stopped(self) -> bool:
        """Tell whether it is too late."""
        return self.days_left is not None and self.days_left < 1

    @property
    def lacks(self) -> bool:
        """Tell whether there are too few recordings."""
        return self.recorded.inputs < ENOUGH_INPUTS

    @property
    def is_urgent(self) -> bool:
        """Tell whether there are too few, and there can be more: of those without a date nobody knows how long."""
        return self.lacks and not self.has_stopped


async def recordings_by_shutdown(
    routes: Routes,
    calendar: Calendar,
    now: datetime,
    counts: Mapping[tuple[str, str, str, str], Recorded],
    captured: CapturedInputs | None,
) -> list[RouteRecordings]:
    """Return every route with a primary, the next to stop first. May raise ``DatabaseUnavailable``."""
    found = []
    for route in _with_primary(routes):
        primary = route.primary
        assert primary is not None
        names = (route.name, primary.provider.name, primary.model)
        shutdown = calendar.dates_of(primary).shutdown
        waiting = await captured.waiting(route.name, route.tenant or "", *names[1:], now) if captured else 0
        file = Path(route.training.file) if route.training and route.training.file else None
        found.append(
            RouteRecordings(
                route,
                shutdown,
                None if shutdown is None else (shutdown - now.date()).days,
                counts.get((*names, asked_with(primary)), Recorded(0, 0, 0)),
                waiting,
                file,
                file is not None and file.is_file(),
            )
        )
    return sorted(found, key=lambda row: (row.shutdown is None, row.shutdown or date.max, row.route.name))


def _with_primary(routes: Routes) -> Iterator[Route]:
    return (route for route in routes.routes.values() if route.primary is not None)
