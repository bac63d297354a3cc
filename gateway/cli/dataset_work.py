"""What the dataset commands do on disk and in the database: sources read, files written and registered."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import orjson

from gateway.cli.pack_sources import content_of, recordings_of
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.routes import Route, Routes
    from gateway.learning.datasets.manifest import Manifest
    from gateway.learning.datasets.rows import Sourced
    from gateway.store.database import Database
    from gateway.store.datasets import FileKind

T = TypeVar("T")
_CLOCKS_DIFFER: Final = timedelta(minutes=5)
"""At most, between this machine and those that delete."""


@dataclass(frozen=True, slots=True)
class Published:
    """Files that lie where they belong."""

    manifest: "Manifest"
    path: Path
    """The manifest's."""
    is_registered: bool
    """Whether a deletion will find them: there is a database."""
    replaced_rows: int = 0
    """Training rows of what lay there before."""


def using(url: str | None, work: "Callable[[Database | None], Awaitable[T]]") -> T:
    """Return what work on the database comes to; it gets None where nothing was ever kept in one.

    Raises:
        ConfigError: the database is away, or its address is none.
    """
    from gateway.config.settings import read_settings
    from gateway.store.database import Database, DatabaseUnavailable

    async def opened_for() -> T:
        opened = await Database.open_existing(read_settings(database_url=url).database_url)
        try:
            return await work(opened)
        finally:
            if opened is not None:
                await opened.close()

    try:
        return asyncio.run(opened_for())
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(str(error)) from None


def directory_of(route: "Route", routes: Path) -> Path:
    """Return where a route's data set lies: beside routes.yaml; absolute."""
    return routes.parent.absolute() / "datasets" / route.name_in_files


def usual_sources(route: "Route", routes: "Routes") -> list[str]:
    """Return what a data set is made of where nobody says otherwise: marks, and the route's own training file.

    A variant's file is its own only where it is not its task's: that may hold rows of other customers.
    """
    from gateway.learning.datasets.rows import APPROVED, CORRECTIONS

    task = routes.routes.get(route.variant_of) if route.variant_of is not None else None
    of_task = task.training.file if task is not None and task.training is not None else None
    file = route.training.file if route.training is not None else None
    is_own = file is not None and file != of_task and Path(file).is_file()
    return [CORRECTIONS, APPROVED, *([os.path.relpath(file)] if file is not None and is_own else [])]


async def sourced(names: Sequence[str], route: "Route", database: "Database | None") -> "Sourced":
    """Read every source of a data set.

    Raises:
        ConfigError: a file cannot be read, or nothing in it can be used.
        DatabaseUnavailable: the database is away.
    """
    from gateway.learning.datasets import rows, sources

    read = []
    for name in dict.fromkeys(names):
        if name not in rows.STORED:
            path = _file(name, rows.STORED)
            read.append(sources.from_file(content_of(path), name, by_model=_is_by_model(path)))
        elif database is not None:
            read.append(await _stored(name, route, database))
    return sources.together(read)


def _file(name: str, others: Sequence[str]) -> Path:
    """Return a file's path; raise ``ConfigError`` where there is none: another source may have been meant."""
    from gateway.config.findings import did_you_mean

    if not Path(name).exists():
        raise ConfigError(f"{name} is no file, and none of {', '.join(others)}{did_you_mean(name, others)}")
    return Path(name)


async def _stored(name: str, route: "Route", database: "Database") -> "Sourced":
    from gateway.learning.datasets import rows, sources
    from gateway.store.captured import CapturedStore
    from gateway.store.feedback import FeedbackStore

    if name == rows.RECORDINGS:
        return sources.from_recordings(await recordings_of(route, database), route.tenant)
    if name == rows.CAPTURED:
        return sources.from_captured(await CapturedStore(database).of_route(route.name, route.tenant), route.tenant)
    marks = await FeedbackStore(database).counting(route.name, route.tenant)
    read = sources.from_corrections if name == rows.CORRECTIONS else sources.from_approved
    return read(marks, route.tenant)


def _is_by_model(path: Path) -> bool:
    """Tell whether the manifest beside an exported file says that a model wrote its answers."""
    try:
        beside = orjson.loads(path.with_name(f"{path.name}.manifest.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return isinstance(beside, dict) and (beside.get("model_generated") is True or beside.get("written_by") == "model")


async def deleted_ever(database: "Database | None") -> frozenset[str]:
    """Return the ids of inputs that were deleted at somebody's wish: files do not bring them back."""
    from gateway.store.datasets import DatasetStore

    return await DatasetStore(database).deleted_since() if database is not None else frozenset()


async def publish(
    database: "Database | None",
    directory: Path,
    manifest: "Manifest",
    files: "Mapping[str, bytes]",
    kind: "FileKind",
    started: datetime,
) -> Published:
    """Write a data set or an export, and have the database know where it is, so that a deletion finds it.

    ``directory`` is absolute: where a deletion looks is not where this command runs. What was deleted since
    ``started``, when its rows began to be read, is taken out again.

    Raises:
        ConfigError: it cannot be written.
        DatabaseUnavailable: the database is away.
    """
    from gateway.learning.datasets.directory import read, write
    from gateway.learning.datasets.manifest import MANIFEST
    from gateway.learning.datasets.removal import remove_inputs
    from gateway.learning.tuning.holdings import lineage_row
    from gateway.store.datasets import DatasetStore, ExportedFile

    path = directory / MANIFEST
    before = _training_rows(path)
    if database is None:
        return Published(manifest, write(directory, manifest, files), False, before)
    store = DatasetStore(database)
    own = (socket.gethostname(), str(path))
    earlier = [file.input_ids for file in await store.files(own[0]) if file.path == own[1]]
    tenant, ids = manifest.tenant or "", manifest.input_ids
    row = ExportedFile(*own, manifest.route, tenant, kind, ids, started)
    # Known before it is there, and the earlier one until it is not: no moment in which a deletion misses either.
    await store.register(replace(row, input_ids=[*ids, *(id_ for known in earlier for id_ in known)]))
    write(directory, manifest, files)
    if remove_inputs(path, await store.deleted_since(started - _CLOCKS_DIFFER)).rows:
        manifest = read(directory).manifest
    await store.register(replace(row, input_ids=manifest.input_ids))
    if kind == "dataset":
        await store.keep(replace(lineage_row(manifest), built_at=started))
    return Published(manifest, path, True, before)


def _training_rows(path: Path) -> int:
    """Return how many training rows a manifest names; 0 where there is none that can be read."""
    from gateway.learning.datasets.building import TRAIN
    from gateway.learning.datasets.manifest import parse_manifest

    try:
        return len(parse_manifest(path.read_bytes(), str(path)).rows(TRAIN))
    except (OSError, ConfigError):
        return 0
