"""Which packs hold certain inputs: those that routes.yaml names, and those in the database."""

from collections.abc import AsyncIterator, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.loader import Loaded
    from gateway.config.packs import Pack
    from gateway.store.database import Database


@dataclass(frozen=True, slots=True)
class HoldingPack:
    """A pack that holds such rows, or may, since it cannot be read."""

    place: str
    """A directory, or ``database`` and the pack's hash."""
    route: str
    rows: tuple[str, ...]
    """Input ids; empty where it cannot be read."""
    what_to_do: str


async def packs_holding(input_ids: Set[str], loaded: "Loaded", database: "Database") -> list[HoldingPack]:
    """Return every pack that holds one of the inputs. May raise ``DatabaseUnavailable``."""
    if not input_ids:
        return []
    return [*_in_directories(input_ids, loaded), *[pack async for pack in _in_database(input_ids, loaded, database)]]


def _in_directories(input_ids: Set[str], loaded: "Loaded") -> Iterator[HoldingPack]:
    from gateway.config.packs import FILES, MANIFEST, BadPack, parse_pack

    for directory in sorted({Path(file).parent for file in loaded.routes.files if Path(file).name == MANIFEST}):
        again = (
            "build it again from rows without them, review it, and commit; what git keeps of older versions it keeps"
        )
        try:
            pack = parse_pack({name: (directory / name).read_bytes() for name in FILES})
        except (OSError, BadPack) as problem:
            yield HoldingPack(str(directory), "", (), f"cannot be read ({problem}); look yourself")
            continue
        if rows := _held(pack, input_ids):
            yield HoldingPack(str(directory), pack.route, rows, f"gateway pack build {pack.route} … {again}")


async def _in_database(input_ids: Set[str], loaded: "Loaded", database: "Database") -> AsyncIterator[HoldingPack]:
    from gateway.config.awaited_packs import awaited
    from gateway.config.packs import BadPack
    from gateway.store.packs import PackStore

    store, named = PackStore(database), awaited(loaded.routes)
    for row in await store.all():
        place, route = f"database {row['hash']}", row["route"]
        try:
            # One at a time: each may have many megabytes.
            pack = (await store.fetch([row["hash"]]))[row["hash"]]
        except BadPack as problem:
            yield HoldingPack(place, route, (), f"cannot be read ({problem}); look yourself")
            continue
        if rows := _held(pack, input_ids):
            todo = f"routes.yaml does not name it: once no gateway does, gateway pack remove {row['hash']}"
            if row["hash"] in named:
                todo = f"gateway pack build {route} … from rows without them, push it, name the new hash in routes.yaml"
            yield HoldingPack(place, route, rows, todo)


def _held(pack: "Pack", input_ids: Set[str]) -> tuple[str, ...]:
    return tuple(sorted({example.id for example in pack.examples} & input_ids))
