"""Everything that one has of fine-tunes and their routes in one directory, and what is still to be done about them."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.config.packs import MANIFEST as PACK_MANIFEST
from gateway.config.packs import BadPack, Pack, parse_pack
from gateway.config.routes import Route, Target
from gateway.errors import ConfigError
from gateway.learning.datasets.manifest import MANIFEST, NEUTRAL, Manifest, ManifestFile, sha256_of
from gateway.learning.datasets.neutral_rows import evaluation_lines, neutral_files
from gateway.learning.datasets.trainers import last_training_day, where_one_can_still_train
from gateway.learning.datasets.vendor_files import Missing, Put, VendorSaved
from gateway.learning.whole_files import put_file, put_whole
from gateway.policy.lifecycle import Dates
from gateway.store.captured import CapturedStore
from gateway.store.database import Database
from gateway.store.evaluations import EvaluationStore
from gateway.store.feedback import FeedbackStore
from gateway.store.recordings import RecordingStore

KIND: Final = "everything"
ENOUGH_RECORDINGS: Final = 250
"""Rows below which a five-point margin cannot be judged (docs/learning.md)."""

KeepPack = Callable[[Path, Pack], Awaitable[None]]
"""Registers a pack's copy, so that a deletion tells of it."""
ReadPack = Callable[[Target], Awaitable[Mapping[str, bytes] | None]]
"""Returns a fallback's pack as files; None where it has none."""


@dataclass(slots=True)
class RouteSaved:
    """What was saved of one route."""

    route: str
    tenant: str | None
    primary: str | None
    """As provider/model."""
    dates: Dates
    """Of the primary."""
    rows: dict[str, int] = field(default_factory=dict)
    """By kind: corrections, approved, captured, recordings, evaluations."""
    packs: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)


def claim(out: Path, at: datetime, by: str) -> None:
    """Take a directory for an export of everything: a new one, an empty one, or an earlier export's.

    Raises:
        ConfigError: it holds something else.
        OSError: it cannot be written.
    """
    if out.exists() and any(out.iterdir()):
        try:
            kind = orjson.loads((out / MANIFEST).read_bytes()).get("kind")
        except (OSError, orjson.JSONDecodeError, AttributeError):
            kind = None
        if kind != KIND:
            raise ConfigError(f"{out} holds something else: name another directory with --out")
        return
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    put_file(out / MANIFEST, _dumped({"kind": KIND, "is_complete": False, "exported_at": at, "by": by}))


async def save_route(
    route: Route, dates: Dates, database: Database | None, out: Path, blank: Manifest, put: Put
) -> RouteSaved:
    """Save what the database has of a route: its rows in a directory with their manifest, its verdicts beside it.

    Raises:
        OSError: a file cannot be written.
        DatabaseUnavailable: the database is away.
    """
    primary = f"{route.primary.provider.name}/{route.primary.model}" if route.primary else None
    saved = RouteSaved(route.name, route.tenant, primary, dates)
    if database is None:
        return saved
    files = neutral_files(
        await FeedbackStore(database).counting(route.name, route.tenant),
        await CapturedStore(database).of_route(route.name, route.tenant),
        [
            row
            for row in await RecordingStore(database).rows_of(route=route.name)
            if row.tenant == (route.tenant or "") and not row.sample
        ],
    )
    saved.rows = {file.name.removesuffix(".jsonl"): len(file.rows) for file in files}
    if files:
        told = {file.name: ManifestFile(sha256_of(file.content), file.rows) for file in files}
        manifest = replace(
            blank, route=route.name, tenant=route.tenant, format=NEUTRAL, files=told, sources=dict(saved.rows)
        )
        await put(out / "routes" / route.name_in_files, manifest, {file.name: file.content for file in files})
    if verdicts := await EvaluationStore(database).of_route(route.name):
        path = out / "evaluations" / f"{route.name_in_files}.jsonl"
        path.parent.mkdir(exist_ok=True, mode=0o700)
        put_file(path, evaluation_lines(verdicts))
        saved.rows["evaluations"] = len(verdicts)
    return saved


async def save_packs(route: Route, saved: RouteSaved, out: Path, read: ReadPack, keep: KeepPack) -> None:
    """Save the prompt packs of a route's fallbacks, each under its fallback's name.

    Raises:
        OSError: a file cannot be written.
        DatabaseUnavailable: the database is away.
    """
    for target in route.fallbacks:
        what = f"the pack of fallback {target.name} of {route.name}"
        try:
            files = await read(target)
            if files is None:
                continue
            pack = parse_pack(files)
        except (BadPack, ConfigError) as problem:
            saved.missing.append(Missing(what, str(problem)))
            continue
        place = out / "packs" / route.name_in_files / target.name
        # Known before it is there, so that no deletion misses it.
        await keep(place.absolute() / PACK_MANIFEST, pack)
        put_whole(place.absolute(), files, private=True)
        saved.packs.append(target.name)


def finish(
    out: Path,
    vendors: Sequence[VendorSaved],
    routes: Sequence[RouteSaved],
    at: datetime,
    by: str,
) -> dict[str, Any]:
    """Write the manifest of all of it, and return it.

    Raises:
        OSError: a file cannot be read or written.
    """
    missing = [*(one for part in vendors for one in part.missing), *(one for part in routes for one in part.missing)]
    told = {
        "kind": KIND,
        "is_complete": not missing,
        "exported_at": at,
        "by": by,
        "providers": [_vendor(one) for one in vendors],
        "routes": [_route(one) for one in routes],
        "missing": [asdict(one) for one in missing],
        "next": list(_next(routes, vendors, at.date())),
        "files": dict(_files(out)),
        "note": "Hashes are of the day of the export: a deletion takes rows out, and changes files' own manifests.",
    }
    put_file(out / MANIFEST, _dumped(told))
    return told


def _dumped(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _vendor(one: VendorSaved) -> dict[str, Any]:
    return {
        "provider": one.provider,
        "kind": one.kind,
        "jobs": one.jobs,
        "bases": {base: _base(one.kind, base) for base in sorted(one.bases)},
        "fetched": one.fetched,
        "already_there": one.already,
        "notes": one.notes,
    }


def _base(kind: str, base: str) -> dict[str, date | None]:
    last, dates = last_training_day(kind, base)
    return {"last_training_day": last, "stops": dates.shutdown}


def _route(one: RouteSaved) -> dict[str, Any]:
    dates = one.dates
    return {
        "route": one.route,
        "tenant": one.tenant,
        "primary": one.primary,
        "stops": dates.shutdown,
        "last_training_day": dates.last_training_day,
        "dates_source": dates.source or None,
        "rows": one.rows,
        "packs": one.packs,
    }


def _next(routes: Sequence[RouteSaved], vendors: Sequence[VendorSaved], today: date) -> Iterator[str]:
    """Say what is still to be done, the soonest first."""
    lacking = [one for one in routes if one.primary and one.rows.get("recordings", 0) < ENOUGH_RECORDINGS]
    lacking.sort(key=lambda one: (one.dates.shutdown or date.max, one.route))
    for one in lacking:
        if one.dates.shutdown is not None and one.dates.shutdown <= today:
            continue
        until = f" until {one.dates.shutdown}" if one.dates.shutdown else ""
        count = one.rows.get("recordings", 0)
        held = f"{count:,} of {ENOUGH_RECORDINGS} answers are kept"
        yield f"record {one.route}{until}, {held}: gateway record {one.route}"
    if lacking:
        yield "see all routes and the days that are left: gateway record --before-shutdown"
    if any(one.dates.last_training_day and one.dates.last_training_day < today for one in routes):
        where = "; ".join(map(str, where_one_can_still_train(today)[:4]))
        yield f"a route's base cannot be trained any more; it can be done elsewhere: {where}"
    if any(one.jobs for one in vendors):
        yield "make a prompt of a training file: gateway pack build ROUTE --from providers/P/files/ID/train.jsonl"


def _files(out: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(out.rglob("*")):
        inside = path.relative_to(out)
        if not path.is_file() or inside == Path(MANIFEST) or "unfinished" in inside.parts:
            continue
        whole = hashlib.sha256()
        with path.open("rb") as stream:
            while piece := stream.read(2**20):
                whole.update(piece)
        yield inside.as_posix(), {"sha256": whole.hexdigest(), "size_bytes": path.stat().st_size}
