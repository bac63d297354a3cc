"""How ``gateway scan`` tells what it found: as text, as JSON, and as annotations of a GitHub workflow."""

import json
import os
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import typer

from gateway.config.findings import printable
from gateway.lifecycle.scan import Finding, Report
from gateway.policy.lifecycle import Dates

_MENTIONS_SHOWN = 10
_ROUTES_SHOWN = 3


def print_report(report: Report, output: str) -> None:
    """Print a report as ``text``, ``json`` or ``github``."""
    if output == "json":
        # ASCII, for a file's name may be no UTF-8, and may hold what steers a terminal.
        typer.echo(json.dumps(_as_json(report), indent=2))
        return
    typer.echo(_summary(report))
    if output == "github":
        for finding in report.used:
            typer.echo(_annotation(report, finding))
        for file, why in report.unreadable:
            typer.echo(_command("warning", {"file": file.as_posix()}, f"not read: {why}"))
        return
    _print_findings(report)
    _print_mentions(report)
    _print_unreadable(report)
    _print_sources(report)


def _summary(report: Report) -> str:
    unread = len(report.unreadable)
    tail = f" {_count(unread, 'file')} {'was' if unread == 1 else 'were'} not read." if unread else ""
    return _summary_of_read(report) + tail


def _summary_of_read(report: Report) -> str:
    used, failing = report.used, report.failing
    read = _count(report.files_read, "file")
    if not report.files_read and not report.unreadable:
        return "Nothing was read: there is no source file, configuration or notebook here."
    if not used:
        return f"No model with a known shutdown is hard-coded in {read}."
    stopped = sum((finding.days_left(report.today) or 0) <= 0 for finding in failing)
    until = report.today + timedelta(days=report.within_days)
    parts = [
        f"{stopped} stopped already",
        f"{len(failing) - stopped} will within {_count(report.within_days, 'day')} (by {until})",
        f"{len(used) - len(failing)} later, or on no day that is known",
    ]
    where = len({finding.file for finding in used})
    return f"{_count(len(used), 'model id')} hard-coded in {where} of {read}: {', '.join(parts)}."


def _print_findings(report: Report) -> None:
    widths = [max((len(cell) for cell in cells), default=0) for cells in zip(*map(_cells, report.used), strict=True)]
    for (day, _), group in groupby(report.used, key=lambda finding: (finding.dates.shutdown, finding.snapshot)):
        findings = list(group)
        colour = typer.colors.RED if report.is_soon(findings[0]) else typer.colors.YELLOW if day else None
        typer.echo()
        typer.echo(_styled(_when(report, findings[0]), colour))
        for finding in findings:
            aligned = (f"{cell:<{width}}" for cell, width in zip(_cells(finding), widths, strict=True))
            _print_line(f"  {'  '.join(aligned)}  {_advice(finding)}".rstrip())


def _cells(finding: Finding) -> tuple[str, str, str]:
    return _place(finding), finding.text, finding.vendor


def _print_mentions(report: Report) -> None:
    mentions = [finding for finding in report.findings if not finding.used]
    if not mentions:
        return
    typer.echo(f"\nOnly mentioned, in comments or prose, which never fails: {_count(len(mentions), 'id')}")
    for finding in mentions[:_MENTIONS_SHOWN]:
        _print_line(f"  {_place(finding)}  {finding.text}  {_when(report, finding)}")
    if len(mentions) > _MENTIONS_SHOWN:
        typer.echo(f"  and {len(mentions) - _MENTIONS_SHOWN} more; --json lists them all")


def _print_unreadable(report: Report) -> None:
    for file, why in report.unreadable:
        _print_line(f"{file}: not read: {why}", err=True)


def _print_sources(report: Report) -> None:
    models = {f"{f.base or f.model} ({f.vendor})": f for f in report.used}
    by_source: dict[str, list[str]] = {}
    for name, finding in sorted(models.items()):
        by_source.setdefault(_believed(finding.dates) or "nobody dates these", []).append(name)
    if by_source:
        typer.echo("\nWhere the dates come from")
    for source, names in by_source.items():
        _print_line(f"  {source}")
        _print_line(f"      {', '.join(names)}")
    others = {name: _other_days(finding) for name, finding in sorted(models.items())}
    if any(others.values()):
        typer.echo("\nOther days")
    for name, days in others.items():
        if days:
            _print_line(f"  {name}: {days}")


def _other_days(finding: Finding) -> str:
    disputes = (f"{other.shutdown} says {other.source}" for other in finding.dates.disputed_by)
    return "; ".join((*disputes, *(f"{day} at {vendor}" for vendor, day in finding.elsewhere)))


def _believed(dates: Dates) -> str:
    if dates.origin is None:
        return ""
    parts = [dates.certainty, dates.origin.name.lower(), dates.source]
    if dates.read:
        parts.append(f"read on {dates.read}")
    return ", ".join(part for part in parts if part)


def _when(report: Report, finding: Finding) -> str:
    left = finding.days_left(report.today)
    day = finding.dates.shutdown
    if left is None and finding.snapshot is not None:
        name, stops = finding.snapshot
        return f"an alias without a day of its own; its dated snapshot {name} stops {stops}"
    if left is None:
        return "no date is known"
    if left > 0:
        tentative = ", tentatively" if finding.dates.certainty == "tentative" else ""
        return f"stops {day}, in {_count(left, 'day')}{tentative}"
    return f"stopped {day}, {_count(-left, 'day')} ago" if left else f"stops today, {day}"


def _advice(finding: Finding) -> str:
    ways = []
    if finding.routes:
        more = len(finding.routes) - _ROUTES_SHOWN
        names = ", ".join(finding.routes[:_ROUTES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        ways.append(f"use route {names}" if len(finding.routes) == 1 else f"use one of the routes {names}")
    if finding.dates.replacement:
        ways.append(f"its vendor names {finding.dates.replacement}")
    return "; ".join(ways)


def _annotation(report: Report, finding: Finding) -> str:
    """Return a finding as a workflow command."""
    level = "error" if report.is_soon(finding) else "warning"
    when = _when(report, finding)
    fields, place = {"file": finding.file.as_posix()}, ""
    if finding.cell is None:
        fields |= {"line": str(finding.line), "col": str(finding.column)}
    else:
        place = f" (cell {finding.cell}, line {finding.line})"
    fields["title"] = f"{finding.model} {when}"
    message = f"{finding.text}{place} ({finding.vendor}) {when}"
    tail = "; ".join(part for part in (_advice(finding), finding.dates.source) if part)
    return _command(level, fields, f"{message}. {tail}" if tail else message)


def _command(level: str, fields: dict[str, str], message: str) -> str:
    """Return one workflow command; ``::`` and line ends within its parts are escaped as GitHub has it."""
    properties = ",".join(f"{name}={_escaped(value, ',:')}" for name, value in fields.items())
    return f"::{level} {properties}::{_escaped(message)}"


def _escaped(text: str, also: str = "") -> str:
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return printable(text)


def _as_json(report: Report) -> dict[str, Any]:
    used, failing = report.used, report.failing
    return {
        "ok": not failing,
        "today": report.today.isoformat(),
        "within_days": report.within_days,
        "files_read": report.files_read,
        "counts": {
            "used": len(used),
            "failing": len(failing),
            "mentioned": len(report.findings) - len(used),
            "unreadable": len(report.unreadable),
        },
        "findings": [_finding_as_json(report, finding) for finding in report.findings],
        "unreadable": [{"file": str(file), "why": why} for file, why in report.unreadable],
    }


def _finding_as_json(report: Report, finding: Finding) -> dict[str, Any]:
    dates = finding.dates
    return {
        "file": finding.file.as_posix(),
        "cell": finding.cell,
        "line": finding.line,
        "column": finding.column,
        "text": finding.text,
        "model": finding.model,
        "vendor": finding.vendor,
        "base": finding.base,
        "use": "used" if finding.used else "mentioned",
        "fails": finding.used and report.is_soon(finding),
        "shutdown": dates.shutdown.isoformat() if dates.shutdown else None,
        "days_left": finding.days_left(report.today),
        "certainty": dates.certainty if dates.shutdown else None,
        "origin": dates.origin.name.lower() if dates.origin else None,
        "source": dates.source or None,
        "snapshot": {"model": finding.snapshot[0], "shutdown": str(finding.snapshot[1])} if finding.snapshot else None,
        "replacement": dates.replacement,
        "disputed_by": [{"shutdown": str(other.shutdown), "source": other.source} for other in dates.disputed_by],
        "elsewhere": [{"vendor": vendor, "shutdown": day.isoformat()} for vendor, day in finding.elsewhere],
        "routes": list(finding.routes),
    }


def _place(finding: Finding) -> str:
    file: Path | str = finding.file if finding.cell is None else f"{finding.file}[cell {finding.cell}]"
    return printable(f"{file}:{finding.line}:{finding.column}")


def _print_line(text: str, *, err: bool = False) -> None:
    """Print one line, whatever a file's name or an operator's words hold."""
    typer.echo(printable(text), err=err)


def _styled(text: str, colour: str | None) -> str:
    text = printable(text)
    return text if colour is None or "NO_COLOR" in os.environ else typer.style(text, fg=colour)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
