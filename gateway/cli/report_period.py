"""The period of a report: how options name it, and how it is said."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

from gateway.cli.configuration import instant
from gateway.lifecycle.report_figures import Period
from gateway.policy.lifecycle import midnight

_HOUR: Final = timedelta(hours=1)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""No id of a row holds an earlier instant."""
_AGO: Final = re.compile(r"(\d{1,5})\s*([hdw])")
_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}
_FORM: Final = "write 24h, 7d or 4w, or an instant such as 2026-11-01 or 2026-11-29T10:30+00:00"


def period_of(since: str, until: str | None, now: datetime) -> Period:
    """Return the period that two options name.

    Counted back from now, hours begin with a full hour, days and weeks at midnight UTC, so that they come from the
    ledger's totals alone. It ends with the hour that is not over yet, at the latest: nothing is kept of later ones.
    """
    end = _floor(now) + _HOUR
    if until is not None:
        end = min(end, _instant(until, now, "--until"))
    begin = max(_EARLIEST, _instant(since, now, "--since"))
    if begin >= end:
        raise typer.BadParameter(
            f"the period ends ({_said(end)}) before it begins ({_said(begin)})", param_hint="--since"
        )
    return Period(begin, end, now)


def _instant(said: str, now: datetime, option: str) -> datetime:
    ago = _AGO.fullmatch(said.strip().lower())
    if ago is not None:
        then = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return _floor(then) if ago[2] == "h" else midnight(then.date())
    try:
        return instant(said)
    except typer.BadParameter:
        raise typer.BadParameter(f"{said!r} names no time; {_FORM}", param_hint=option) from None


def _floor(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
