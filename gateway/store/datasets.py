"""Which data sets were built, and which files on which host hold texts of whom: the rows themselves are in files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import delete, select, update

from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_learning import deletions
from gateway.store.tables_training import datasets, exported_files

FileKind = Literal["dataset", "export", "capture"]
"""dataset: built from marks, recordings and files; export: one of these for a trainer; capture: captured rows."""
_d, _f = datasets.c, exported_files.c


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A data set that was built."""

    dataset_hash: str
    route: str
    tenant: str
    """Empty: nobody's in particular."""
    manifest: Mapping[str, Any]
    """``learning.datasets.manifest.Manifest.summary()``: of its rows the inputs' ids, by file."""
    built_at: datetime
    by: str

    def input_ids(self, name: str) -> frozenset[str] | None:
        """Return whose inputs one of its files held when it was built; None: that was not written down."""
        file = self.manifest.get("files", {}).get(name)
        if file is None:
            return frozenset()
        return frozenset(file["input_ids"]) if "input_ids" in file else None


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A manifest beside files that hold texts of requests."""

    host: str
    path: str
    """The manifest's, absolute."""
    route: str
    tenant: str
    kind: FileKind
    input_ids: Sequence[str]
    written_at: datetime


class DatasetStore:
    """Reads and writes. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def keep(self, row: DatasetRow) -> None:
        """Keep a data set; of equal content the first one stays, since versions were trained from it."""
        await self._rows.insert_new(datasets, [asdict(row)])

    async def find(self, dataset_hash: str) -> DatasetRow | None:
        """Return a data set by its hash."""
        found = await self._rows.read(select(datasets).where(_d.dataset_hash == dataset_hash))
        return DatasetRow(**found[0]) if found else None

    async def register(self, file: ExportedFile) -> None:
        """Remember a manifest; what was at the same place before is replaced, as on the disk."""
        await self._rows.put(exported_files, [{**asdict(file), "input_ids": sorted(set(file.input_ids))}])

    async def narrow(self, file: ExportedFile, input_ids: Collection[str]) -> None:
        """Remember that a manifest, as it was read here, holds no more than these inputs.

        One that was written anew since then stays as it is: whoever wrote it has looked for what was deleted meanwhile.
        """
        as_read = (_f.host == file.host, _f.path == file.path, _f.written_at == file.written_at)
        await self._rows.write(update(exported_files).where(*as_read).values(input_ids=sorted(input_ids)))

    async def files(self, host: str | None = None) -> list[ExportedFile]:
        """Return the manifests on one host, or on all, by host and path."""
        query = select(exported_files).order_by(_f.host, _f.path)
        found = await self._rows.read(query if host is None else query.where(_f.host == host))
        return [ExportedFile(**row) for row in found]

    async def forget_file(self, host: str, path: str) -> bool:
        """Forget a manifest that is not there any more; tell whether it was known."""
        return (await self._rows.write(delete(exported_files).where(_f.host == host, _f.path == path)))[0] > 0

    async def deleted_since(self, at: datetime | None = None) -> frozenset[str]:
        """Return the ids of inputs that were deleted at somebody's wish, since an instant or ever."""
        query = select(deletions.c.input_ids)
        found = await self._rows.read(query if at is None else query.where(deletions.c.deleted_at >= at))
        return frozenset(input_id for row in found for input_id in row["input_ids"])
