"""What a person may command of a route: where to, why, for how long. The same by command line and on the page. Pure."""

import re
from datetime import datetime, timedelta
from typing import Final

from gateway.config.findings import printable
from gateway.config.routes import Route
from gateway.policy.planner import Command

AUTO: Final = "auto"
"""Where a route is given back to the rules."""
LONGEST_WORDS: Final = 500
_DURATION: Final = re.compile(r"(\d{1,5})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


class InvalidCommand(ValueError):
    """Why a command is none; ``part`` names what is wrong with it: to, reason or lasts."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part


def command_of(route: Route | None, to: str, *, reason: str, lasts: str | None, by: str, now: datetime) -> Command:
    """Return the command that these words make. Without a ``route`` its targets are not looked at.

    ``lasts``: ``30m``, ``24h`` or ``7d``; None: until it is taken back.

    Raises:
        InvalidCommand: one of them cannot be.
    """
    if not reason.strip() or len(reason) > LONGEST_WORDS:
        raise InvalidCommand("reason", "say why, in a few words")
    if lasts is not None and to == AUTO:
        raise InvalidCommand("lasts", "auto has no end; leave --for out")
    if route is not None:
        check_target(route, to)
    return Command(to, printable(reason.strip()), printable(by), now, ends_at(lasts, now))


def check_target(route: Route, to: str) -> None:
    """Raise ``InvalidCommand`` where a route has no such target."""
    names = [target.name for target in route.line_up]
    if to != AUTO and to not in names:
        raise InvalidCommand(
            "to", f"route {route.name!r} has no target {to!r}; it has {', '.join(names)}; or write auto"
        )


def ends_at(lasts: str | None, now: datetime) -> datetime | None:
    """Return when a command ends; None where it lasts until it is taken back. May raise ``InvalidCommand``."""
    if lasts is None:
        return None
    match = _DURATION.fullmatch(lasts.strip())
    if match is None or int(match[1]) == 0:
        raise InvalidCommand("lasts", f"{lasts!r} is no duration; write 30m, 24h or 7d")
    return now + timedelta(**{_UNITS[match[2]]: int(match[1])})
