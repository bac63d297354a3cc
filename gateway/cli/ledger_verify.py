"""``gateway ledger verify``: every record that waits, and every total against its rows."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli.configuration import DatabaseOption, JsonOption
from gateway.cli.ledger_text import instant, minute
from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.lifecycle.forecast_words import counted, money
from gateway.policy.lifecycle import midnight

if TYPE_CHECKING:
    from gateway.cli.progress_bar import Advance
    from gateway.ledger.replay import SegmentReport
    from gateway.lifecycle.report_figures import Period
    from gateway.store.database import Database
    from gateway.store.ledger_check import DayDifference, HourDifference, HourTotals, LedgerCheck
    from gateway.store.ledger_status import LedgerStatus, Unpriced

FAILED: Final = 2
_DAY: Final = timedelta(days=1)
_JOURNALS_SHARE: Final = 0.2
"""Of the bar; nobody knows beforehand which part takes longer."""


@dataclass(frozen=True, slots=True)
class JournalsRead:
    """What the journals' files hold."""

    reports: "list[SegmentReport]"
    kept: list[Path]
    """Segments that were kept, damaged, by an earlier look."""

    @property
    def damage(self) -> Iterator[tuple[Path, int, int]]:
        """Yield file, offset and length in bytes of every stretch that cannot be read."""
        for report in self.reports:
            yield from ((report.path, offset, length) for offset, length in report.damaged)


@dataclass(slots=True)
class RowsCompared:
    """What comparing rows with totals has found."""

    since: datetime | None
    """None: there is no row."""
    until: datetime
    differences: "list[HourDifference]" = field(default_factory=list)
    repaired: set[datetime] = field(default_factory=set)
    days: "list[DayDifference]" = field(default_factory=list)
    """Whole days whose totals are not their hours'."""
    days_repaired: bool = False
    answered_twice: int = 0
    unpriced: "list[Unpriced]" = field(default_factory=list)

    @property
    def thinned(self) -> "list[HourDifference]":
        """Hours whose totals would lose what was deleted, were they made anew."""
        return [found for found in self.differences if found.is_thinned]


def verify(
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Rows from when on: 24h, 7d, or a day.  (default: all)")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Until, and without, when.  (default: now)")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Make totals anew that differ from their rows.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that the ledger is whole: journals by their checksums, hourly totals by their rows.

    Every record in every journal is read; where one is damaged, file and offset are named, and what stands behind it
    still counts. Every hour's rows are added up again and compared with the totals that reports use, and every whole
    day's hours with the day's.
    --repair replaces totals that differ, unless they count more rows than there are; rows are never touched. Requests
    that were answered twice, and tokens without a price, are told as well, and are no failure. May run beside a
    gateway.

    Exit codes: 0 all is whole, 1 there are differences or damage, 2 it could not be looked at.

    Example:  gateway ledger verify --since 4w
    """
    from gateway.cli.ledger import journals_of
    from gateway.cli.progress_bar import progress_bar
    from gateway.cli.report_period import period_of

    period = period_of(since or "1970-01-01", until, SystemClock().now())
    try:
        url, root = journals_of(database)
        with progress_bar("verifying") as advance:
            journals = _read_journals(root, advance)
            try:
                rows = asyncio.run(_compare(url, period, repair, advance))
            except ConfigError as error:
                _show(journals, None, as_json, str(error))
                raise typer.Exit(FAILED) from None
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILED) from None
    _show(journals, rows, as_json, None)
    if not _is_clean(journals, rows):
        raise typer.Exit(1)


def _read_journals(root: Path, advance: "Advance") -> JournalsRead:
    from gateway.ledger.journals_seen import look, reports

    try:
        seen = look(root)
        read: list[SegmentReport] = []
        for number, journal in enumerate(seen.journals, 1):
            for report in reports(journal):
                read.append(report)
                advance(_JOURNALS_SHARE * number / len(seen.journals), f"{counted(len(read), 'segment')} read")
    except OSError as error:
        raise ConfigError(
            f"cannot read the journals in {root}: {error.strerror}; run it as the gateway's user"
        ) from None
    return JournalsRead(read, seen.damaged)


async def _compare(url: str, period: "Period", repair: bool, advance: "Advance") -> RowsCompared:
    from gateway.cli.known import no_state_in
    from gateway.store.database import Database, DatabaseUnavailable

    try:
        opened = await Database.open_existing(url)
        if opened is None:
            raise no_state_in(url)
        try:
            return await _compared(opened, period, repair, advance)
        finally:
            await opened.close()
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"the database cannot be looked at: {error}") from None


async def _compared(database: "Database", period: "Period", repair: bool, advance: "Advance") -> RowsCompared:
    from gateway.store.ledger_check import LedgerCheck
    from gateway.store.ledger_status import LedgerStatus

    check, status, until = LedgerCheck(database), LedgerStatus(database), period.until
    # Of today nothing is left out.
    differing = await check.day_differences(period.since, until if until < period.now else period.now + _DAY)
    whole = await check.whole_since()
    start = max(whole, period.since) if whole is not None else None
    found = RowsCompared(start, until, days=differing)
    if start is not None:
        await _compare_hours(check, status, found, start, advance)
    if repair:
        await _repair(check, found)
    return found


async def _compare_hours(
    check: "LedgerCheck", status: "LedgerStatus", found: RowsCompared, start: datetime, advance: "Advance"
) -> None:
    until = found.until
    found.unpriced = await status.unpriced(start, until)
    day, days = start, max(1.0, (until - start) / _DAY)
    while day < until:
        end = min(day + _DAY, until)
        found.differences += await check.differences(day, end)
        found.answered_twice += await status.answered_twice(day, end)
        advance(_JOURNALS_SHARE + (1 - _JOURNALS_SHARE) * ((end - start) / _DAY / days), f"{minute(end)} reached")
        day = end


async def _repair(check: "LedgerCheck", found: RowsCompared) -> None:
    from gateway.store.ledger_check import RowsMissing

    for difference in found.differences:
        if difference.is_thinned:
            continue
        try:
            await check.rebuild(difference.hour, day=False)
        except RowsMissing:
            # Retention was here meanwhile.
            continue
        found.repaired.add(difference.hour)
    for day in sorted({midnight(hour.date()) for hour in found.repaired} | {of.day for of in found.days}):
        await check.rebuild_day(day)
    found.days_repaired = True


def _is_clean(journals: JournalsRead, rows: RowsCompared) -> bool:
    left = any(found.hour not in rows.repaired for found in rows.differences)
    left = left or (bool(rows.days) and not rows.days_repaired)
    return not left and not journals.kept and next(journals.damage, None) is None


def _show(journals: JournalsRead, rows: RowsCompared | None, as_json: bool, failed: str | None) -> None:
    if as_json:
        clean = rows is not None and _is_clean(journals, rows)
        typer.echo(json.dumps({**_as_json(journals, rows), "clean": clean, "failed": failed}, indent=2))
    else:
        for line in (*_journal_lines(journals), *(_row_lines(rows) if rows is not None else ())):
            typer.echo(line)
    if failed is not None:
        typer.echo(failed, err=True)


def _journal_lines(journals: JournalsRead) -> Iterator[str]:
    records = sum(report.intents + report.progress + report.settled for report in journals.reports)
    damage = list(journals.damage)
    said = "damaged" if damage else "whole"
    yield f"journals  {counted(len(journals.reports), 'segment')}, {counted(records, 'record')}: {said}"
    for path, offset, length in damage:
        yield f"  damaged   {path}: {length:,} bytes at {offset:,}; what is behind them can be read"
    for path in journals.kept:
        yield f"  kept      {path}: found damaged before; remove it when you have seen to the disk"
    torn = sum(report.torn is not None for report in journals.reports)
    if torn:
        yield f"  {counted(torn, 'write')} cut off at the end, as by a kill: nothing that was whole is lost"


def _row_lines(rows: RowsCompared) -> Iterator[str]:
    yield from _day_lines(rows)
    if rows.since is None:
        yield "totals    there are no rows yet"
        return
    span = f"{minute(rows.since)} to {minute(rows.until)} UTC"
    found = f"{counted(len(rows.differences), 'hour')} differ{'s' if len(rows.differences) == 1 else ''}"
    yield f"totals    {span}: {found if rows.differences else 'every hour is the sum of its rows'}"
    if thinned := rows.thinned:
        yield (
            f"  {counted(len(thinned), 'hour')}, the first {minute(thinned[0].hour)}, with fewer rows than the totals "
            "count: rows were deleted, or older ones came in late; --repair leaves these totals as they are"
        )
    for difference in rows.differences:
        if difference.is_thinned:
            continue
        done = "made anew from the rows" if difference.hour in rows.repaired else "--repair makes it anew"
        rows_, summed = _totals(difference.rows), _totals(difference.summed)
        yield f"  {minute(difference.hour)}  rows: {rows_}; totals: {summed}; {done}"
    if rows.answered_twice:
        yield (
            f"requests  {counted(rows.answered_twice, 'request id')} answered more than once: callers who send an "
            "x-request-id of their own send it again when they retry"
        )
    for item in rows.unpriced:
        yield (
            f"unpriced  {item.provider} {item.model}: {counted(item.attempts, 'attempt')}, "
            f"{counted(item.tokens, 'token')}; a price in routes.yaml under `prices:` holds from then on"
        )


def _day_lines(rows: RowsCompared) -> Iterator[str]:
    if rows.days:
        yield f"days      {counted(len(rows.days), 'day')}: not what their hours add up to"
    for day in rows.days:
        done = "made anew from the hours" if rows.days_repaired else "--repair makes it anew"
        yield f"  {day.day:%Y-%m-%d}  hours: {_totals(day.hours)}; the day: {_totals(day.summed)}; {done}"


def _totals(totals: "HourTotals") -> str:
    return f"{counted(totals.attempts, 'attempt')}, {money(totals.cost_nanousd, 9)}"


def _as_json(journals: JournalsRead, rows: RowsCompared | None) -> dict[str, Any]:
    return {
        "segments": len(journals.reports),
        "records": sum(report.intents + report.progress + report.settled for report in journals.reports),
        "torn": sum(report.torn is not None for report in journals.reports),
        "damaged": [{"file": str(path), "offset": at, "bytes": length} for path, at, length in journals.damage],
        "kept": [str(path) for path in journals.kept],
        "since": instant(rows.since) if rows is not None else None,
        "until": instant(rows.until) if rows is not None else None,
        "differences": [
            {
                "hour": instant(found.hour),
                "rows": found.rows._asdict(),
                "totals": found.summed._asdict(),
                "rows_missing": found.is_thinned,
                "repaired": found.hour in rows.repaired,
            }
            for found in rows.differences
        ]
        if rows is not None
        else None,
        "days": [
            {
                "day": f"{found.day:%Y-%m-%d}",
                "hours": found.hours._asdict(),
                "totals": found.summed._asdict(),
                "repaired": rows.days_repaired,
            }
            for found in rows.days
        ]
        if rows is not None
        else None,
        "answered_twice": rows.answered_twice if rows is not None else None,
        "unpriced": [
            {"provider": it.provider, "model": it.model, "attempts": it.attempts, "tokens": it.tokens}
            for it in rows.unpriced
        ]
        if rows is not None
        else None,
    }
