"""What a job is trained on: a data set in the trainer's format, proven before anything of it is sent."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.errors import ConfigError
from gateway.learning.datasets.building import EVALUATION, TRAIN
from gateway.learning.datasets.directory import read
from gateway.learning.datasets.export import exported
from gateway.learning.datasets.formats import FORMATS, Format
from gateway.learning.datasets.manifest import CANONICAL, Manifest
from gateway.learning.datasets.overlap import Evaluated
from gateway.learning.datasets.rules import RowFinding
from gateway.learning.datasets.validation import Wanted, add_evaluated, validate_file
from gateway.learning.packs.tokens import tokens_of, tokens_of_tools

SHOWN_FINDINGS: Final = 5
_COMMON: Final = 0.2
"""A system message that fewer of the training rows have is no instruction of the fine-tune's."""


@dataclass(frozen=True, slots=True)
class Material:
    """A data set as a trainer takes it."""

    manifest: Manifest
    """Of the data set itself."""
    form: Format
    training: bytes
    validation: bytes | None
    """Rows that are never trained on; None: there are none, or too few for the trainer."""
    rows: int
    validation_rows: int
    tokens: int
    """Of all training rows, once: of pairs with both answers."""
    left_out: Mapping[str, int]
    """Rows that the format has no place for, by reason."""
    warnings: tuple[RowFinding, ...]


def material_of(directory: Path, form: Format, base: str | None, route: str, tenant: str | None = None) -> Material:
    """Read, export and validate a data set.

    Raises:
        ConfigError: there is none, it is another route's, or its rows break the trainer's rules; the message says what
            to do.
    """
    dataset = read(directory)
    manifest = dataset.manifest
    if (manifest.route, manifest.tenant) != (route, tenant):
        raise ConfigError(f"{directory} is the data set of route {manifest.route!r}, not of {route!r}")
    if manifest.format != CANONICAL:
        raise ConfigError(f"{directory} is an export ({manifest.format}): name the data set that it was made of")
    export = exported(dataset, form)
    left_out = Counter(row.reason for row in export.left_out if row.file.startswith(TRAIN.partition(".")[0]))
    if TRAIN not in export.files:
        why = f": {next(iter(left_out))}" if left_out else ""
        raise ConfigError(f"{directory} has no training rows for {form.name}{why}; gateway dataset build {route}")
    findings = _findings(export.files, form, base)
    if errors := [finding for finding in findings if finding.severity == "error"]:
        raise ConfigError(_refusal(directory, form, errors))
    validation_rows = export.rows(EVALUATION)
    has_validation = validation_rows >= max(form.fewest_rows, 1)
    return Material(
        manifest=manifest,
        form=form,
        training=export.files[TRAIN],
        validation=export.files[EVALUATION] if has_validation else None,
        rows=export.rows(TRAIN),
        validation_rows=validation_rows if has_validation else 0,
        tokens=tokens_trained_on(export.files[TRAIN]),
        left_out=dict(left_out),
        warnings=tuple(findings),
    )


def form_of(name: str) -> Format:
    """Return a format by the name that a table of trainers has."""
    return FORMATS[name]


def trained_systems(manifest: Manifest) -> tuple[str, ...]:
    """Return the system messages that a model trained on this expects: those that a fifth of the rows has, or more.

    One with something blacked out is left out: no live request has it.
    """
    return common_systems(manifest.systems, len(manifest.rows(TRAIN)), manifest.redacted)


def common_systems(systems: Mapping[str, int], total: int, redacted: Iterable[str]) -> tuple[str, ...]:
    """Return the same of a data set by its ``total`` of training rows, and by the kinds of what was blacked out."""
    blacked_out = [f"[{kind}]" for kind in redacted]
    common = (text for text, rows in systems.items() if text and rows >= _COMMON * total)
    return tuple(text for text in common if not any(mark in text for mark in blacked_out))


def tokens_trained_on(content: bytes) -> int:
    """Count the tokens of a file's rows, once; of pairs the prompt and both answers."""
    return sum(_tokens_of_row(orjson.loads(line)) for line in content.split(b"\n") if line.strip())


def _tokens_of_row(row: Mapping[str, Any]) -> int:
    asked = row.get("input", row)
    answers = [*row.get("preferred_output", ()), *row.get("non_preferred_output", ())]
    return tokens_of([*asked["messages"], *answers]) + tokens_of_tools(asked.get("tools"))


def _findings(files: Mapping[str, bytes], form: Format, base: str | None) -> list[RowFinding]:
    with tempfile.TemporaryDirectory(prefix="gateway-tune-") as name:
        place = Path(name)
        for file, content in files.items():
            with open(os.open(place / file, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as written:
                written.write(content)
        held = EVALUATION if EVALUATION in files else None
        evaluated = add_evaluated(Evaluated(), place / held, held) if held else None
        training = validate_file(place / TRAIN, TRAIN, form, Wanted(base=base, evaluated=evaluated))
        found = [*training.findings]
        if held:
            found += validate_file(place / held, held, form, Wanted(base=base, is_training=False)).findings
    return found


def _refusal(directory: Path, form: Format, errors: Sequence[RowFinding]) -> str:
    shown = [f"  {error}" for error in errors[:SHOWN_FINDINGS]]
    more = len(errors) - len(shown)
    rest = [f"  … and {more:,} more"] if more else []
    return "\n".join(
        [
            f"{directory} cannot be trained on as {form.name}; nothing was uploaded:",
            *shown,
            *rest,
            f"see all of it: gateway dataset validate {directory} --format {form.name}",
        ]
    )
