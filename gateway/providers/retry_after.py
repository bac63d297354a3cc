"""How long a provider asks to wait: from its headers, else from its body."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_DAY_S = 86_400.0
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"\s*\d{1,15}(?:\.\d{1,9})?\s*")
_RETRY_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_SPOKEN = re.compile(
    r"(?:try again|retry|wait)(?: again)?(?: in| after| for)? (\d[\d.hms ]{0,30}(?:seconds?|minutes?)?)"
)
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|s|m|h)")


def retry_after_s(headers: Mapping[str, str] | None, body: object, text: str, *, now: datetime | None) -> float | None:
    """Return seconds, from 0 to 86,400, or None where nothing usable is said.

    Read in this order: ``retry-after-ms``, ``retry-after`` (seconds, or an HTTP date where ``now`` is given), Google's
    ``RetryInfo``, and "try again in 1m2.5s" within ``text`` (lower case).
    """
    found = {str(key).lower(): value for key, value in headers.items()} if isinstance(headers, Mapping) else {}
    milliseconds = _number(found.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    said = found.get("retry-after")
    seconds = _number(said)
    if seconds is None and isinstance(said, str) and now is not None:
        seconds = _seconds_until(said, now)
    if seconds is None:
        seconds = _retry_info(body)
    if seconds is None:
        seconds = _spoken(text)
    return None if seconds is None else _bounded(seconds)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _DAY_S)


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and math.isfinite(value):
        return float(value)
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) and value.isascii() else None


def _seconds_until(http_date: str, now: datetime) -> float | None:
    try:
        instant = parsedate_to_datetime(http_date[:100])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - now).total_seconds()


def _retry_info(body: object) -> float | None:
    """Return the retryDelay of Google's error details, of an object or of an array of one."""
    item = body[0] if isinstance(body, list) and body else body
    error = item.get("error") if isinstance(item, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details[:20] if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        match = _RETRY_DELAY.fullmatch(delay) if isinstance(delay, str) else None
        if match:
            return float(match[1])
    return None


def _spoken(text: str) -> float | None:
    match = _SPOKEN.search(text)
    if not match:
        return None
    parts = _PART.findall(match[1])
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts) if parts else None
