"""How pages write numbers and times: one function for each kind, the same on every view."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from gateway.lifecycle.forecast_words import money
from gateway.reasons import Reason

NOTHING: Final = "–"
"""Where nothing is known, or nothing applies."""
_DATED: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_LONG_AGO: Final = timedelta(days=100)

REASONS: Final[Mapping[str, str]] = {
    Reason.PRIMARY: "primary",
    Reason.DEPRECATED_RAMP: "deprecated, ramping",
    Reason.SHUTDOWN_REACHED: "shutdown",
    Reason.GONE: "gone",
    Reason.NO_ACCESS: "no access",
    Reason.SUSPECT: "suspect",
    Reason.CIRCUIT_OPEN: "circuit open",
    Reason.RESTING: "resting",
    Reason.LACKS_CAPABILITY: "lacks a capability",
    Reason.CONTRACT: "contract broken",
    Reason.COMMANDED: "commanded",
    Reason.PINNED: "pinned",
    Reason.CONNECTION: "no connection",
    Reason.TIMEOUT: "timeout",
    Reason.OVERLOADED: "overloaded",
    Reason.SERVER_ERROR: "server error",
    Reason.RATE_LIMITED: "rate limited",
    Reason.QUOTA: "quota used up",
    Reason.NO_PRIMARY: "no primary",
    Reason.REHEARSAL: "rehearsal",
    Reason.CANARY: "canary",
}


def absolute(at: datetime | date) -> str:
    """Write an instant or a day in full: ``2027-01-14 00:00 UTC``."""
    if isinstance(at, datetime):
        return f"{at:%Y-%m-%d %H:%M} UTC"
    return at.isoformat()


def relative(at: datetime, now: datetime) -> str:
    """Write an instant as its distance: ``3 h ago``, ``in 46 d``; what is far away by its day."""
    past, distance = at <= now, abs(at - now)
    if distance >= _LONG_AGO:
        return f"{at.day} {at:%b %Y}"
    if distance < timedelta(seconds=5):
        return "just now"
    return f"{duration(distance)} ago" if past else f"in {duration(distance)}"


def duration(length: timedelta) -> str:
    """Write a length of time in its largest unit: ``40 s``, ``12 min``, ``3 h``, ``46 d``."""
    seconds = length.total_seconds()
    for size, unit in ((86_400 * 2, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // (86_400 if unit == 'd' else size))} {unit}"
    return f"{int(seconds)} s"


def in_days(day: date, now: datetime) -> str:
    """Write a day as its distance from today: ``in 46 d``, ``today``, ``3 d ago``."""
    days = (day - now.date()).days
    if days == 0:
        return "today"
    return f"in {days:,} d" if days > 0 else f"{-days:,} d ago"


def usd(nanousd: int | None) -> str:
    """Write an amount, with as many digits as a person wants to read."""
    return NOTHING if nanousd is None else money(nanousd)


def usd_per_1000(nanousd: Decimal | float | None) -> str:
    """Write what 1,000 requests cost, of what one costs in nano-dollars."""
    return NOTHING if nanousd is None else money(round(nanousd * 1000))


def ms(value: float | None) -> str:
    """Write milliseconds: ``840 ms``, ``1.24 s``, ``2.1 min``."""
    if value is None:
        return NOTHING
    if value < 999.5:
        return f"{value:.0f} ms" if value >= 10 or value == 0 else f"{value:.1f} ms"
    if value < 120_000:
        return f"{value / 1000:.2f} s" if value < 10_000 else f"{value / 1000:.1f} s"
    return f"{value / 60_000:.1f} min"


def share(part: float | Decimal | None) -> str:
    """Write a share of one: what is not nothing never looks like nothing, and what is not all never like all."""
    if part is None:
        return NOTHING
    if 0 < part < 0.01:
        return "<1%"
    if 0.99 < part < 1:
        return ">99%"
    return f"{part * 100:.0f}%"


def count(number: int | None) -> str:
    """Write a number of things: ``1,234``."""
    return NOTHING if number is None else f"{number:,}"


def reason_words(reason: str) -> str:
    """Write a reason as people say it; one that is not known as it is."""
    return REASONS.get(reason, reason)


def model(name: str) -> str:
    """Write a model's id short: of a fine-tune its own name, and its base without the date."""
    kind, *parts = name.split(":")
    if kind != "ft" or len(parts) < 2:
        return name
    named = next((part for part in parts[2:] if part), parts[-1])
    return f"{named} · {_DATED.sub('', parts[0])}"


def words(name: str) -> str:
    """Write a word of an enum without its underscores."""
    return str(name).replace("_", " ")


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "absolute": absolute,
    "usd": usd,
    "usd_per_1000": usd_per_1000,
    "ms": ms,
    "share": share,
    "count": count,
    "duration": duration,
    "reason_words": reason_words,
    "words": words,
    "model": model,
}
"""By the names that templates use."""

FILTERS_OF_NOW: Final[Mapping[str, Callable[[Any, datetime], str]]] = {"relative": relative, "in_days": in_days}
"""Those that need the page's time, which the frame puts in."""
