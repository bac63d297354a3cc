"""A directory of training data held to its manifest, its formats' rules, and its own split."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.learning.datasets.formats import FORMATS, Format
from gateway.learning.datasets.manifest import CANONICAL, MANIFEST, Manifest, parse_manifest
from gateway.learning.datasets.overlap import Evaluated
from gateway.learning.datasets.row_lines import Advance
from gateway.learning.datasets.validation import FileReport, Wanted, add_evaluated, validate_file

TRAINING: Final = ("train.jsonl", "train.preferences.jsonl")
EVALUATION: Final = ("evaluation.jsonl", "evaluation.preferences.jsonl")
_PREFERENCES: Final = ".preferences.jsonl"

Watch = Callable[[Path], Advance]
"""Told which file is read next; what it returns is told how far that is."""


def validate_directory(directory: Path, wanted: Wanted, form: Format | None, watch: Watch) -> list[FileReport]:
    """Return what is wrong with each file of a data set or an export, the manifest's own findings first.

    ``form`` stands in for what the manifest says. Training files are held against the evaluation files beside them,
    and against ``wanted.evaluated``.

    Raises:
        ConfigError: there is no file of rows in it.
        OSError: a file cannot be read.
    """
    there = [directory / name for name in (*TRAINING, *EVALUATION) if (directory / name).is_file()]
    if not there:
        raise ConfigError(f"{directory} holds no train.jsonl and no evaluation.jsonl")
    manifest, report = _manifest(directory)
    evaluated = Evaluated(wanted.evaluated)
    for path in there:
        if path.name in EVALUATION:
            add_evaluated(evaluated, path, path.name, watch(path))
    for name, message in _differences(directory, manifest) if manifest else ():
        report.add("manifest", 1, f"{name} {message}")
    reports = [report] if manifest is None or report.counts else []
    for path in there:
        own = form or _format_of(path.name, manifest)
        # Pairs of a built data set are there to be used or not: few of them are no mistake.
        counts = path.name in TRAINING and (
            own is None or own.kind == "sft" or form is not None or not _is_built(manifest)
        )
        held = replace(wanted, evaluated=evaluated if path.name in TRAINING else None, is_training=counts)
        reports.append(validate_file(path, str(path), own, held, watch(path)))
    return reports


def format_beside(path: Path) -> Format | None:
    """Return the format that the manifest beside a file gives it; None where none is told."""
    manifest, _ = _manifest(path.parent)
    return _format_of(path.name, manifest) if manifest is not None and path.name in manifest.files else None


def _is_built(manifest: Manifest | None) -> bool:
    return manifest is not None and manifest.format == CANONICAL


def _format_of(name: str, manifest: Manifest | None) -> Format | None:
    if manifest is None:
        return None
    if manifest.format == CANONICAL:
        return FORMATS["openai-dpo" if name.endswith(_PREFERENCES) else "openai-sft"]
    return next((form for form in FORMATS.values() if form.name == manifest.format), None)


def _manifest(directory: Path) -> tuple[Manifest | None, FileReport]:
    path = directory / MANIFEST
    report = FileReport(str(path), "manifest")
    try:
        return parse_manifest(path.read_bytes(), MANIFEST), report
    except FileNotFoundError:
        report.add("manifest", 1, "is not there: nobody knows which line is whose, and no deletion finds them")
    except ConfigError as problem:
        report.add("manifest", 1, f"cannot be read: {problem}")
    return None, report


def _differences(directory: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    for name, file in manifest.files.items():
        path = directory / name
        if Path(name).name != name or not path.is_file():
            yield name, "is not there: build the data set again"
            continue
        sha256, lines = _read_whole(path)
        if sha256 != file.sha256:
            yield name, "was changed since this was written: build the data set again"
        elif lines != len(file.rows):
            yield name, f"has {lines:,} lines, and {len(file.rows):,} are told of here: build the data set again"
    for name in (*TRAINING, *EVALUATION):
        if name not in manifest.files and (directory / name).is_file():
            yield name, "is not told of here: no deletion finds its rows"


def _read_whole(path: Path) -> tuple[str, int]:
    whole, lines = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while piece := stream.read(2**20):
            whole.update(piece)
            lines += piece.count(b"\n")
    return whole.hexdigest(), lines
