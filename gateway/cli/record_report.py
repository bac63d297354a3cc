"""What ``gateway record`` prints: its outcome, what routes still lack, and the file of an export."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.record_words import outcome
from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.learning.recordings.gaps import ENOUGH_INPUTS
from gateway.lifecycle.forecast_words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.cli.record_run import Done
    from gateway.config.routes import Route, Routes
    from gateway.learning.recordings.gaps import RouteRecordings
    from gateway.store.recordings import Recording

_NANO = 10**9
_ENOUGH = "enough"
_LACKS = "LACKS RECORDINGS"
_STOPPED = "stopped"


def told(done: "Done") -> str:
    """Return a run's outcome for people."""
    return "\n".join(outcome(done))


def as_object(done: "Done") -> dict[str, Any]:
    """Return a run's outcome for scripts; dollars as numbers."""
    left = len(done.plan.questions) - done.run.kept
    return {
        "route": done.route.name,
        "provider": done.primary.provider.name,
        "model": done.primary.model,
        "recorded_before": done.plan.recorded,
        "repeated_inputs": done.repeated,
        "asked": len(done.plan.questions),
        "recorded": done.run.kept,
        "from_batches": done.fetched,
        "sent_as_batch": done.sent,
        "missing": left,
        "failures": [
            {"kind": str(kind), "count": trouble.count, "first": trouble.first}
            for kind, trouble in done.run.troubles.items()
        ],
        "spent_usd": done.spent_nanousd / _NANO,
        "cap_usd": None if done.cap_nanousd is None else done.cap_nanousd / _NANO,
        "stopped": done.run.stopped,
        "batches": [
            {
                "id": batch.batch_id,
                "status": batch.status,
                "done": batch.done,
                "rows": batch.rows,
                "expires_at": batch.expires_at.isoformat() if batch.expires_at else None,
            }
            for batch in done.waiting
        ],
    }


def show_by_shutdown(routes: "Routes", database: str | None, *, as_json: bool) -> int:
    """Print which routes lack recordings, the next to stop first; return the exit code."""
    from gateway.config.settings import read_settings
    from gateway.store.database import DatabaseUnavailable

    url = read_settings(database_url=database).database_url
    try:
        found = asyncio.run(_by_shutdown(routes, url))
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot read the recordings: {error}") from None
    if as_json:
        typer.echo(json.dumps({"enough_inputs": ENOUGH_INPUTS, "routes": list(map(_row_object, found))}, indent=2))
    else:
        _show(found)
    return 1 if any(row.is_urgent for row in found) else 0


async def _by_shutdown(routes: "Routes", url: str) -> "list[RouteRecordings]":
    from gateway.learning.recordings.gaps import recordings_by_shutdown
    from gateway.lifecycle.calendar import Calendar
    from gateway.store.captured_inputs import CapturedInputs
    from gateway.store.database import Database
    from gateway.store.published import PublishedStore
    from gateway.store.recordings import RecordingStore

    now, database = SystemClock().now(), await Database.open_existing(url)
    if database is None:
        return await recordings_by_shutdown(routes, Calendar(routes), now, {}, None)
    try:
        calendar = Calendar(routes, await PublishedStore(database).all())
        counts = await RecordingStore(database).counts()
        return await recordings_by_shutdown(routes, calendar, now, counts, CapturedInputs(database))
    finally:
        await database.close()


def _show(found: "list[RouteRecordings]") -> None:
    from gateway.cli.forecast_text import Printer

    if not found:
        typer.echo("no route has a primary: there is nobody to record")
        return
    out = Printer()
    urgent = [row for row in found if row.is_urgent]
    if urgent:
        has = "has" if len(urgent) == 1 else "have"
        out.line(
            f"{counted(len(urgent))} {has} fewer than {ENOUGH_INPUTS} recorded inputs of a primary that lives; "
            f"{_when_next(urgent)}",
            loud=True,
        )
    else:
        out.line(f"every route whose primary lives has {ENOUGH_INPUTS} recorded inputs or more", loud=True)
    headers = ("route", "stops", "days left", "inputs", "twice", "pending", "captured", "training file", "", "next")
    out.table(headers, [_cells(row) for row in found], [row.is_urgent for row in found])


def _when_next(urgent: "Sequence[RouteRecordings]") -> str:
    dated = [row.days_left for row in urgent if row.days_left is not None]
    if dated:
        return f"the next stops in {counted(min(dated), 'day')}"
    return "when it stops is not known" if len(urgent) == 1 else "when they stop is not known"


def _cells(row: "RouteRecordings") -> tuple[str, ...]:
    days = "" if row.days_left is None else f"{row.days_left:,}"
    training = "" if row.training_file is None else "there" if row.has_training_file else "missing"
    return (
        row.route.name,
        row.shutdown.isoformat() if row.shutdown else "no date",
        days,
        f"{row.recorded.inputs:,}",
        f"{row.recorded.second_samples:,}",
        f"{row.recorded.pending:,}" if row.recorded.pending else "",
        f"{row.captured_waiting:,}" if row.captured_waiting else "",
        training,
        _standing(row),
        next_command(row),
    )


def _row_object(row: "RouteRecordings") -> dict[str, Any]:
    primary = row.route.primary
    assert primary is not None
    return {
        "route": row.route.name,
        "provider": primary.provider.name,
        "model": primary.model,
        "shutdown": row.shutdown.isoformat() if row.shutdown else None,
        "days_left": row.days_left,
        "recorded_inputs": row.recorded.inputs,
        "second_samples": row.recorded.second_samples,
        "pending": row.recorded.pending,
        "captured_waiting": row.captured_waiting,
        "training_file": str(row.training_file) if row.training_file else None,
        "training_file_exists": row.has_training_file,
        "lacks_recordings": row.lacks,
        "next": next_command(row),
    }


def _standing(row: "RouteRecordings") -> str:
    if row.has_stopped:
        return _STOPPED
    return _LACKS if row.lacks else _ENOUGH


def next_command(row: "RouteRecordings") -> str:
    """Return what to type next."""
    name, training = row.route.name, str(row.training_file) if row.has_training_file else None
    source = "captured" if row.captured_waiting else training
    if row.has_stopped or (not row.lacks and not row.captured_waiting and not row.recorded.pending):
        return f"gateway pack build {name} --from {training or 'FILE'}"
    if row.recorded.pending:
        return f"gateway record {name} --inputs {source or 'FILE'} --batch"
    return f"gateway record {name} --inputs {source or 'FILE'}"


def write_export(route: "Route", url: str, file: Path, *, as_json: bool) -> None:
    """Write a route's recordings as training rows, and a manifest beside them; neither may be there yet."""
    from gateway.learning.recordings.export import exportable, manifest, training_lines

    primary, tenant = route.primary, route.tenant or ""
    assert primary is not None
    rows = exportable(asyncio.run(_recordings(route, url)))
    if not rows:
        raise ConfigError(f"nothing of {route.name} is recorded yet: gateway record {route.name} --inputs FILE")
    content = training_lines(rows)
    about = file.with_name(f"{file.name}.manifest.json")
    _write_new(file, content)
    try:
        _write_new(about, manifest(content, rows, route.name, primary, tenant, SystemClock().now()))
    except ConfigError:
        file.unlink()
        raise
    if as_json:
        typer.echo(json.dumps({"rows": len(rows), "file": str(file), "manifest": str(about)}, indent=2))
    else:
        typer.echo(f"{counted(len(rows), 'row')} written by {primary.model} are in {file}; {about} says where from")
        typer.echo("its provider's terms may forbid training other models on them: read them first", err=True)


async def _recordings(route: "Route", url: str) -> "list[Recording]":
    from gateway.learning.recordings.plan import asked_with
    from gateway.store.database import Database, DatabaseUnavailable
    from gateway.store.recordings import RecordingStore

    assert route.primary is not None
    try:
        database = await Database.open_existing(url)
        if database is None:
            return []
        try:
            names = (route.name, route.primary.provider.name, route.primary.model)
            rows = await RecordingStore(database).of_route(*names, asked_with(route.primary))
            return [row for row in rows if row.tenant == (route.tenant or "")]
        finally:
            await database.close()
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot read the recordings: {error}") from None


def _write_new(file: Path, content: bytes) -> None:
    """Write a file that only its owner can read: it holds customers' text."""
    try:
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(content)
    except FileExistsError:
        raise ConfigError(f"{file} exists; name another file, or remove it") from None
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None
