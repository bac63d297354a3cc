"""A data set on disk: read as it is, and written so that nobody ever sees half of it; its owner's alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.learning.datasets.formats import FORMATS
from gateway.learning.datasets.manifest import MANIFEST, NEUTRAL, Manifest, parse_manifest, sha256_of
from gateway.learning.whole_files import put_whole, recover

FILES: Final = frozenset(
    {"train.jsonl", "evaluation.jsonl", "train.preferences.jsonl", "evaluation.preferences.jsonl", MANIFEST}
)
"""What a directory of a data set holds, as far as there are rows, beside directories of exports."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set, or an export of one."""

    directory: Path
    manifest: Manifest
    files: Mapping[str, bytes]
    """Content by name, without the manifest."""

    def lines(self, name: str) -> list[bytes]:
        """Return a file's rows, each with its line end; nothing where there is no such file."""
        # Not splitlines(): a text may hold U+2028, which ends no row.
        content = self.files.get(name, b"").removesuffix(b"\n")
        return [line + b"\n" for line in content.split(b"\n")] if content else []


def read(directory: Path) -> DataSet:
    """Return the data set in a directory.

    Raises:
        ConfigError: there is none, it cannot be read, or a file is not what the manifest says of it.
    """
    try:
        if not directory.exists():
            # A killed build may have moved it aside; one that is at work is left alone.
            recover(directory)
        content = (directory / MANIFEST).read_bytes()
        manifest = parse_manifest(content, str(directory / MANIFEST))
        files = {name: (directory / name).read_bytes() for name in manifest.files if _is_of(name, manifest)}
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise ConfigError(
            f"{directory} holds no data set: {missing} is not there; gateway dataset build ROUTE writes one"
        ) from None
    except OSError as error:
        raise ConfigError(f"{error.filename or directory} cannot be read: {error.strerror}") from None
    if foreign := sorted(manifest.files.keys() - files.keys()):
        raise ConfigError(f"{directory / MANIFEST} names {foreign[0]!r}, which is no file of a data set")
    for name, file in manifest.files.items():
        if sha256_of(files[name]) != file.sha256:
            raise ConfigError(f"{directory / name} was changed since its manifest was written: build it again")
    return DataSet(directory, manifest, files)


def write(directory: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
    """Write a data set in the place of the same route's earlier one, and return the manifest's path.

    Directories in it, which hold its exports, stay.

    Raises:
        ConfigError: something else is there already, or it cannot be written.
    """
    directory = directory.absolute()
    try:
        recover(directory)
        _check_replaceable(directory, manifest)
        put_whole(directory, {**files, MANIFEST: manifest.to_bytes()}, private=True)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be written: {error.strerror}") from None
    return directory / MANIFEST


def _is_of(name: str, manifest: Manifest) -> bool:
    """Tell whether a manifest may name a file: neutral ones name what was saved as it is, in their own directory."""
    return name in FILES or (manifest.format == NEUTRAL and Path(name).name == name and name.endswith(".jsonl"))


def _check_replaceable(directory: Path, manifest: Manifest) -> None:
    """Raise where a directory is not one of this route and format, and nothing else."""
    if not directory.exists() and not directory.is_symlink():
        return
    if not directory.is_dir() or directory.is_symlink():
        raise ConfigError(f"{directory} is no directory: name another with --out")
    inside = sorted(path.name for path in directory.iterdir() if not (path.is_dir() and path.name in FORMATS))
    if not inside:
        return
    if foreign := [name for name in inside if not _is_of(name, manifest)]:
        raise ConfigError(f"{directory} holds {foreign[0]}, which is of no data set: name another with --out")
    if MANIFEST not in inside:
        raise ConfigError(f"{directory} holds no data set that could be replaced: name another with --out")
    theirs = parse_manifest((directory / MANIFEST).read_bytes(), str(directory / MANIFEST))
    if (theirs.route, theirs.format) != (manifest.route, manifest.format):
        whose = f"the {theirs.format} data set of route '{theirs.route}'"
        raise ConfigError(f"{directory} holds {whose}: name another with --out")
