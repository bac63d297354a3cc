"""Which packs hold certain inputs: those in directories, the rows held out beside them, and those in the database."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.loader import Loaded
    from gateway.config.packs import Pack
    from gateway.store.database import Database


@dataclass(frozen=True, slots=True)
class HoldingPack:
    """A pack, or a file of rows that were held out of one, that holds such rows, or may, since it cannot be read."""

    place: str
    """A directory, a file, or ``database`` and the pack's hash."""
    route: str
    rows: tuple[str, ...]
    """Input ids; empty where it cannot be read."""
    what_to_do: str


async def packs_holding(input_ids: Set[str], loaded: "Loaded", database: "Database") -> list[HoldingPack]:
    """Return every pack and held-out file that holds one of the inputs. May raise ``DatabaseUnavailable``."""
    if not input_ids:
        return []
    directories = _pack_directories(loaded)
    return [
        *_in_directories(input_ids, directories),
        *_in_held_out_files(input_ids, _held_out_files(loaded, directories)),
        *[pack async for pack in _in_database(input_ids, loaded, database)],
    ]


def _in_directories(input_ids: Set[str], directories: Sequence[Path]) -> Iterator[HoldingPack]:
    from gateway.config.packs import FILES, BadPack, parse_pack

    for directory in directories:
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


def _in_held_out_files(input_ids: Set[str], files: Sequence[Path]) -> Iterator[HoldingPack]:
    """Look through the rows that were kept out of packs: customers' text as well, redacted as they were built."""
    from gateway.learning.packs.directory import HELD_OUT_SUFFIX
    from gateway.learning.packs.training_rows import InvalidTrainingFile, read_rows
    from gateway.policy.inputs import input_id

    for file in files:
        route = file.name.removesuffix(HELD_OUT_SUFFIX)
        try:
            content = file.read_bytes()
            read = read_rows(content, str(file)).rows if content.strip() else ()
        except (OSError, InvalidTrainingFile) as problem:
            said = str(problem).splitlines()[0]
            yield HoldingPack(str(file), route, (), f"cannot be read ({said}); look yourself")
            continue
        if rows := tuple(sorted({input_id(row.messages, row.tools) for row in read} & input_ids)):
            todo = f"gateway pack build {route} … writes it anew from rows without them; or take them out of the file"
            yield HoldingPack(str(file), route, rows, todo)


def _pack_directories(loaded: "Loaded") -> list[Path]:
    """Return where packs lie: those that routes.yaml names, and those that were built beside it and are not named."""
    from gateway.config.packs import MANIFEST

    named = [Path(file) for file in loaded.routes.files if Path(file).name == MANIFEST]
    return _without_doubles(path.parent for path in (*named, *_beside(loaded).glob(f"*/{MANIFEST}")))


def _held_out_files(loaded: "Loaded", directories: Sequence[Path]) -> list[Path]:
    from gateway.learning.packs.directory import HELD_OUT_SUFFIX, held_out_path

    prompts = [target.prompt for route in loaded.routes.routes.values() for target in route.fallbacks]
    home = Path(loaded.routes.files[0]).parent
    lost = [home / prompt.missing_pack for prompt in prompts if prompt is not None and prompt.missing_pack is not None]
    files = [held_out_path(place) for directory in (*directories, *lost) for place in (directory, directory.resolve())]
    return _without_doubles(file for file in (*files, *_beside(loaded).glob(f"*{HELD_OUT_SUFFIX}")) if file.is_file())


def _beside(loaded: "Loaded") -> Path:
    """Return where ``gateway pack build`` puts packs unless it is told otherwise."""
    return Path(loaded.routes.files[0]).parent / "packs"


def _without_doubles(paths: Iterable[Path]) -> list[Path]:
    return sorted({path.resolve(): path for path in sorted(paths)}.values())


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
