"""A pack on disk: read as it is, and written so that nobody ever sees half of it."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from gateway.config.packs import FILES, MANIFEST, MAX_FILE_BYTES, BadPack, Pack, parse_pack
from gateway.errors import ConfigError
from gateway.learning.whole_files import put_whole, write_new

HELD_OUT_SUFFIX: Final = ".held-out.jsonl"


def held_out_path(directory: Path) -> Path:
    """Return where the rows lie that were held out of a directory's pack: beside it, never in it."""
    return directory.with_name(f"{directory.name}{HELD_OUT_SUFFIX}")


def read_files(directory: Path) -> dict[str, bytes]:
    """Return a pack's files by name, as far as they are there.

    Raises:
        ConfigError: one cannot be read, or is larger than 32 MiB.
    """
    files: dict[str, bytes] = {}
    for name in FILES:
        path = directory / name
        try:
            with path.open("rb") as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
        if len(content) > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB")
        files[name] = content
    return files


def read_directory(directory: Path) -> Pack:
    """Return the pack in a directory.

    Raises:
        ConfigError: there is none, or it cannot be used; with file and line.
    """
    try:
        return parse_pack(read_files(directory))
    except BadPack as problem:
        raise ConfigError(f"{directory / problem.file}:{problem.line}: {problem.message}") from None


def write(directory: Path, files: Mapping[str, bytes], held_out: bytes, *, private: bool) -> None:
    """Write a pack and the rows that were held out, in the place of the same route's earlier pack.

    The directory is made beside its place and renamed. Held-out rows are their owner's to read (0600), and so is all of
    it where it is ``private`` (0700 and 0600; otherwise 0755 and 0644).

    Raises:
        ConfigError: something else is there already, or it cannot be written.
    """
    directory = directory.resolve()
    _check_replaceable(directory, orjson.loads(files[MANIFEST])["route"])
    beside = held_out_path(directory)
    try:
        put_whole(directory, files, private=private, before=lambda: _put_held_out(beside, held_out))
    except OSError as error:
        raise ConfigError(f"{directory} cannot be written: {error.strerror}") from None


def _check_replaceable(directory: Path, route: str) -> None:
    """Raise where a directory is not a pack of this route, and nothing else."""
    if not directory.exists() and not directory.is_symlink():
        return
    if not directory.is_dir():
        raise ConfigError(f"{directory} is no directory: name another with --out")
    inside = sorted(path.name for path in directory.iterdir())
    if not inside:
        return
    if foreign := [name for name in inside if name not in FILES]:
        raise ConfigError(f"{directory} holds {foreign[0]}, which is of no pack: name another with --out")
    try:
        theirs = orjson.loads((directory / MANIFEST).read_bytes())["route"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        raise ConfigError(f"{directory} holds no pack that could be replaced: name another with --out") from None
    if theirs != route:
        raise ConfigError(f"{directory} holds the pack of route '{theirs}': name another with --out")


def _put_held_out(path: Path, content: bytes) -> None:
    if not content:
        # An earlier build's rows may be examples now.
        path.unlink(missing_ok=True)
        return
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write_new(fresh, content, 0o600)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
