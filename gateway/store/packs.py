"""Packs in the database, for those too large for a ConfigMap: put there once, fetched by their hash."""

import asyncio
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import delete, select

from gateway.config.packs import FILES, MANIFEST, MAX_FILE_BYTES, POOL, BadPack, Pack, parse_pack
from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_learning import packs

_p = packs.c
_MOST_BYTES = 4 * MAX_FILE_BYTES


class PackStore:
    """Reads and writes. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def push(self, files: Mapping[str, bytes], by: str, now: datetime) -> Pack:
        """Keep a pack; one that is there already stays as it is, unless it was damaged.

        Raises:
            BadPack: it cannot be used, or is too large for any replica to take.
        """
        pack = parse_pack(files)
        unpacked = orjson.dumps({name: files[name].decode() for name in FILES})
        if len(unpacked) > _MOST_BYTES:
            raise BadPack(POOL, 1, f"the pack is larger than {_MOST_BYTES // 1_048_576} MiB; keep it on a volume")
        content = zlib.compress(unpacked)
        row: dict[str, Any] = {"hash": pack.hash, "route": pack.route, "tenant": pack.tenant or "", "content": content}
        row |= {"pushed_at": now, "by": by}
        if not await self._rows.insert_new(packs, [row]):
            try:
                await self.fetch([pack.hash])
            except BadPack:
                await self._rows.put(packs, [row])
        return pack

    async def fetch(self, hashes: Iterable[str]) -> dict[str, Pack]:
        """Return the packs that are there, by hash.

        Raises:
            BadPack: one of them was damaged.
        """
        found = await self._rows.read(select(packs).where(_p.hash.in_(sorted(hashes))))
        # Megabytes of JSON: in a thread, so that no request waits for them.
        return {row["hash"]: await asyncio.to_thread(_unpacked, row["hash"], row["content"]) for row in found}

    async def files(self, hash_: str) -> dict[str, bytes]:
        """Return a pack's files by name; nothing where it is not there.

        Raises:
            BadPack: it was damaged.
        """
        if not await self.fetch([hash_]):
            return {}
        (row,) = await self._rows.read(select(packs.c.content).where(_p.hash == hash_))
        unpacked = orjson.loads(zlib.decompressobj().decompress(row["content"], _MOST_BYTES))
        return {name: text.encode() for name, text in unpacked.items()}

    async def remove(self, hash_: str) -> bool:
        """Take a pack out; tell whether it was there."""
        return (await self._rows.write(delete(packs).where(_p.hash == hash_)))[0] > 0

    async def all(self) -> list[dict[str, Any]]:
        """Return hash, route, tenant, pushed_at and by of every pack, newest first."""
        query = select(_p.hash, _p.route, _p.tenant, _p.pushed_at, _p.by).order_by(_p.pushed_at.desc(), _p.hash)
        return await self._rows.read(query)


def _unpacked(hash_: str, content: bytes) -> Pack:
    try:
        unpacked = zlib.decompressobj().decompress(content, _MOST_BYTES)
        pack = parse_pack({name: text.encode() for name, text in orjson.loads(unpacked).items()})
    except (zlib.error, orjson.JSONDecodeError, AttributeError, BadPack):
        pack = None
    if pack is None or pack.hash != hash_:
        raise BadPack(MANIFEST, 1, f"the copy of {hash_} in the database is damaged; push the pack again")
    return pack
