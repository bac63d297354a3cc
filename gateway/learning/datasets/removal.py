"""Rows taken out of files that were written, because somebody wishes so: from the files and from their manifests."""

from collections import Counter
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from gateway.errors import ConfigError
from gateway.learning.datasets.building import EXAMPLES, TRAIN
from gateway.learning.datasets.directory import DataSet, read
from gateway.learning.datasets.formats import FORMATS
from gateway.learning.datasets.manifest import CANONICAL, MANIFEST, ManifestFile, hash_of, sha256_of
from gateway.learning.datasets.rows import systems_in, tokens_in
from gateway.learning.packs.training_rows import lines_of
from gateway.learning.whole_files import put_file, put_whole, recover
from gateway.policy.inputs import input_id


@dataclass(frozen=True, slots=True)
class Removed:
    """What was taken out."""

    files: tuple[str, ...] = ()
    """Paths of the files that were written anew, without their manifest."""
    rows: int = 0


def remove_inputs(manifest_path: Path, input_ids: Collection[str]) -> Removed:
    """Take the rows of these inputs out of the files beside a manifest; the manifest gets new hashes.

    The manifest is one of a data set, of an export of it, or of captured rows (``FILE.manifest.json``). Files that hold
    no such row stay as they are, to the byte.

    Raises:
        FileNotFoundError: the manifest, or a file that it names, is not there.
        ConfigError: a file was changed since, so that nobody knows which line is whose; it has to be looked at by hand.
        OSError: a file cannot be read or written.
    """
    gone = frozenset(input_ids)
    if manifest_path.name != MANIFEST:
        return _from_captured(manifest_path, gone)
    if manifest_path.parent.name in FORMATS:
        # An export lies in its data set, which may be where a killed build has left it.
        recover(manifest_path.parent.parent)
    recover(manifest_path.parent)
    # A missing one is no error to tell as one's own: whoever asks forgets it.
    manifest_path.stat()
    dataset = read(manifest_path.parent)
    kept: dict[str, bytes] = {}
    told: dict[str, ManifestFile] = {}
    changed: list[str] = []
    removed = 0
    for name, file in dataset.manifest.files.items():
        lines = dataset.lines(name)
        stays = [row.input_id not in gone for row in file.rows]
        if len(stays) != len(lines):
            raise ConfigError(f"{dataset.directory / name} has {len(lines)} rows, its manifest {len(stays)}")
        if not all(stays):
            removed += len(stays) - sum(stays)
            changed.append(str(dataset.directory / name))
        if any(stays):
            kept[name] = b"".join(line for line, is_kept in zip(lines, stays, strict=True) if is_kept)
            rows = tuple(row for row, is_kept in zip(file.rows, stays, strict=True) if is_kept)
            told[name] = ManifestFile(sha256_of(kept[name]), rows)
    if changed:
        _put(dataset, kept, told)
    return Removed(tuple(changed), removed)


def _put(dataset: DataSet, kept: Mapping[str, bytes], told: Mapping[str, ManifestFile]) -> None:
    before = dataset.manifest
    rows = (row for name, file in told.items() if name in EXAMPLES.values() for row in file.rows)
    manifest = replace(before, files=dict(told), sources=dict(sorted(Counter(row.source for row in rows).items())))
    if before.format == CANONICAL:
        manifest = replace(
            manifest,
            dataset_hash=hash_of(kept),
            earlier_hashes=(*before.earlier_hashes, before.dataset_hash),
            systems=systems_in(kept.get(TRAIN, b"")),
            tokens={name: tokens_in(kept[name]) for name in EXAMPLES.values() if name in kept},
        )
    put_whole(dataset.directory.absolute(), {**kept, MANIFEST: manifest.to_bytes()}, private=True)


def _from_captured(manifest_path: Path, gone: AbstractSet[str]) -> Removed:
    """Take rows out of a file of captured rows, which are known by what they ask."""
    try:
        manifest = orjson.loads(manifest_path.read_bytes())
        path = manifest_path.with_name(manifest["file"])
        lines = list(lines_of(path.read_bytes()))
        kept = [line for line in lines if _asks(orjson.loads(line)) not in gone]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{manifest_path} and its file are not as they were written") from None
    if len(kept) == len(lines):
        return Removed()
    content = b"".join(kept)
    # The manifest last: until it is written, what is there names a hash that the file does not have.
    put_file(path, content)
    manifest |= {"sha256": sha256_of(content), "rows": len(kept)}
    manifest["deleted"] = manifest.get("deleted", 0) + len(lines) - len(kept)
    put_file(manifest_path, orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return Removed((str(path),), len(lines) - len(kept))


def _asks(row: Mapping[str, Any]) -> str:
    return input_id(row["messages"][:-1], row.get("tools"))
