"""Files that were exported and hold rows of what was deleted: cleaned on this host, named where they are elsewhere."""

import socket
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.config.routes import Route
    from gateway.store.captured import Captured
    from gateway.store.database import Database
    from gateway.store.datasets import ExportedFile


@dataclass(frozen=True, slots=True)
class HoldingFile:
    """What became of the files beside one manifest."""

    host: str
    path: str
    """The manifest's."""
    rows: int
    """Taken out."""
    what_to_do: str | None
    """What is left to do by hand; None: nothing."""


async def clean_files(
    gone: AbstractSet[str], database: "Database", lost_hosts: Collection[str] = ()
) -> list[HoldingFile]:
    """Take the rows of deleted inputs out of every exported file on this host, and say which others hold some.

    ``lost_hosts``: hosts that are gone with what was on them; their files are forgotten. May raise
    ``DatabaseUnavailable``.
    """
    from gateway.store.datasets import DatasetStore

    store = DatasetStore(database)
    found = []
    for file in await store.files():
        if file.host in lost_hosts:
            await store.forget_file(file.host, file.path)
        elif ids := gone & frozenset(file.input_ids):
            cleaned, is_there = _cleaned(file, ids)
            if cleaned is not None:
                found.append(cleaned)
            if not is_there:
                await store.forget_file(file.host, file.path)
            elif cleaned is None or cleaned.what_to_do is None:
                await store.narrow(file, frozenset(file.input_ids) - ids)
    return found


def _cleaned(file: "ExportedFile", ids: AbstractSet[str]) -> tuple[HoldingFile | None, bool]:
    """Return what became of a file, and whether it is still there as far as anybody knows."""
    from gateway.learning.datasets.removal import remove_inputs

    where = (file.host, file.path)
    if file.host != socket.gethostname():
        return HoldingFile(*where, 0, f"is on {file.host}: run this there, or say --lost-host where that is gone"), True
    try:
        removed = remove_inputs(Path(file.path), ids)
    except FileNotFoundError:
        return None, False
    except (ConfigError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        return HoldingFile(*where, 0, f"could not be changed ({said}): build it anew, or delete it"), True
    return HoldingFile(*where, removed.rows, None) if removed.rows else None, True


def file_lines(files: Sequence[HoldingFile]) -> list[str]:
    """Return what to tell of them."""
    from gateway.lifecycle.forecast_words import counted

    done = [f"  {file.path}: {counted(file.rows, 'row')} taken out" for file in files if file.what_to_do is None]
    left = [f"  {file.path}\n    {file.what_to_do}" for file in files if file.what_to_do is not None]
    lines = ["Exported files that held such rows:", *done] if done else []
    return [*lines, *(["Exported files that still hold such rows:", *left] if left else [])]


async def export_registered(
    database: "Database", out: Path, route: "Route", rows: "Sequence[Captured]", started: "datetime"
) -> Path:
    """Write captured rows to a file, and have the database know where it is; return its manifest's path.

    What was deleted since ``started``, when the rows began to be read, is taken out again.

    Raises:
        OSError: it cannot be written.
        DatabaseUnavailable: the database is away.
    """
    from gateway.cli.capture_export import manifest_of, write_export
    from gateway.store.datasets import DatasetStore, ExportedFile

    store, beside = DatasetStore(database), manifest_of(out).absolute()
    own = (socket.gethostname(), str(beside))
    earlier = [id_ for file in await store.files(own[0]) if file.path == own[1] for id_ in file.input_ids]
    ids = [row.input_id for row in rows]
    file = ExportedFile(*own, route.name, route.tenant or "", "capture", ids, started)
    # Known before it is there, and the earlier one until it is not.
    await store.register(replace(file, input_ids=[*ids, *earlier]))
    path = write_export(out, route.name, route.tenant, rows, started)
    since = await store.deleted_since(started)
    _take_out(out, beside, since)
    await store.register(replace(file, input_ids=[id_ for id_ in ids if id_ not in since]))
    return path


def _take_out(out: Path, beside: Path, input_ids: AbstractSet[str]) -> None:
    from gateway.learning.datasets.removal import remove_inputs

    # What went to a device or into a pipe is out of reach.
    if input_ids and out.is_file():
        remove_inputs(beside, input_ids)
