"""A data set: rows of every source made one, split by a fixed rule, so that no side tells what the other is asked."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.manifest import CANONICAL, Manifest, ManifestFile, hash_of, sha256_of
from gateway.learning.datasets.rows import DataRow, Sourced, redacted_row, systems_in, tokens_in
from gateway.learning.packs.tokens import counted_by
from gateway.learning.packs.training_rows import unique
from gateway.policy.leaks import Answered, answered_in, last_answered
from gateway.policy.splits import EVALUATION_SHARE, Split

FLOOR: Final = 10
"""Training rows below which trainers refuse a file, and nothing is learnt."""
START: Final = 50
"""Training rows from which on an effect is usually seen."""
TRAIN: Final = "train.jsonl"
EVALUATION: Final = "evaluation.jsonl"
TRAIN_PAIRS: Final = "train.preferences.jsonl"
EVALUATION_PAIRS: Final = "evaluation.preferences.jsonl"
EXAMPLES: Final = {Split.TRAIN: TRAIN, Split.EVALUATION: EVALUATION}
PAIRS: Final = {Split.TRAIN: TRAIN_PAIRS, Split.EVALUATION: EVALUATION_PAIRS}
SPLIT_RULE: Final = (
    f"{100 * EVALUATION_SHARE:g} % of conversations, by a hash of how each begins, are kept to evaluate with"
)
TERMS: Final = (
    "{models} of {rows} answers were written by models, not by people. Their providers' terms may forbid training "
    "other models on them: read the terms before you do."
)


@dataclass(frozen=True, slots=True)
class Whose:
    """What a data set is of, and who builds it."""

    route: str
    tenant: str | None
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Built:
    """A data set, and what became of each row."""

    manifest: Manifest
    files: Mapping[str, bytes]
    """Content by name, without the manifest; files without rows are not there."""
    rows: Mapping[Split, tuple[DataRow, ...]]
    sourced: Sourced
    duplicates: tuple[tuple[str, str], ...]
    """Rows that were dropped: where, and where the one is that stays."""
    conflicting: tuple[tuple[str, ...], ...]
    """Where rows answer the same differently; all of them stay."""
    leaking: Mapping[Split, tuple[str, ...]]
    """Rows that would tell a row of the other side, or be told: where, by the side that they would be on."""
    deleted: tuple[str, ...]
    """Rows of files whose input was deleted at somebody's wish: where."""


def build(sourced: Sourced, whose: Whose, redactor: Redactor, gone: AbstractSet[str] = frozenset()) -> Built:
    """Redact rows, keep each input once, split them, and leave out what would tell the answer of an evaluation row.

    The same rows give the same bytes, whatever order they come in. Of an input that several sources have the one that
    counts most stays (``Material.rank``). ``gone`` are the ids of inputs that were deleted: files do not bring them
    back.
    """
    counts: Counter[str] = Counter()
    redacted = [redacted_row(material, redactor, counts) for material in sourced.materials]
    deleted = [row for row in redacted if _is_deleted(row, gone)]
    known = sorted((row for row in redacted if not _is_deleted(row, gone)), key=_order)
    kept, outranked = _believed(known)
    # ``unique`` tells rows by their lines, of which every source has its own.
    once = unique(replace(row.row, line=at) for at, row in enumerate(kept))
    repeated = [(kept[line], kept[first]) for line, first in once.repeated]
    rows, leaking = _without_leaks([kept[row.line] for row in once.rows])
    files, told = _files(rows)
    left_out = {
        "duplicate": len(outranked) + len(repeated),
        "leak": sum(map(len, leaking.values())),
        "deleted": len(deleted),
        "unusable": len(sourced.unusable),
        "other tenant": sourced.foreign,
    }
    manifest = _manifest(rows, files, told, whose, counts)
    return Built(
        manifest=replace(
            manifest,
            left_out={reason: count for reason, count in left_out.items() if count},
            told=tuple(sorted({row.input_id for row in leaking[Split.EVALUATION]})),
        ),
        files=files,
        rows=rows,
        sourced=sourced,
        duplicates=tuple((row.material.where, stays.material.where) for row, stays in [*outranked, *repeated]),
        conflicting=tuple(tuple(kept[line].material.where for line in lines) for lines in once.conflicting),
        leaking={split: tuple(row.material.where for row in own) for split, own in leaking.items()},
        deleted=tuple(row.material.where for row in deleted),
    )


def _is_deleted(row: DataRow, gone: AbstractSet[str]) -> bool:
    # What the store has was asked again since.
    return row.material.consent == "file" and row.input_id in gone


def _order(row: DataRow) -> tuple[int, str, bytes, str, str]:
    """By content within each rank, so that neither the order of sources nor of their rows matters."""
    own = row.material
    return own.rank, row.input_id, row.example(), own.source, own.feedback_id or own.known_as or ""


def _believed(rows: Sequence[DataRow]) -> tuple[list[DataRow], list[tuple[DataRow, DataRow]]]:
    """Return the rows, without those of inputs that a source of a lower rank has, and these with the row that stays."""
    first: dict[str, DataRow] = {}
    kept: list[DataRow] = []
    outranked: list[tuple[DataRow, DataRow]] = []
    for row in rows:
        stays = first.setdefault(row.input_id, row)
        if stays.material.rank == row.material.rank:
            kept.append(row)
        else:
            outranked.append((row, stays))
    return kept, outranked


def _without_leaks(
    rows: Sequence[DataRow],
) -> tuple[dict[Split, tuple[DataRow, ...]], dict[Split, tuple[DataRow, ...]]]:
    """Return the rows by side, and those that are on none: they tell the answer of an evaluation row, or are told.

    A training row goes that tells the answer of an evaluation row. An answer that more training rows tell than
    evaluation rows ask for is a set phrase: the fewer evaluation rows go in their place.
    """
    telling: dict[Answered, set[int]] = defaultdict(set)
    asking: dict[Answered, set[int]] = defaultdict(set)
    for at, row in enumerate(rows):
        if row.split is Split.TRAIN:
            for pair in _told_by(row):
                telling[pair].add(at)
        elif (own := last_answered(row.messages)) is not None:
            asking[own].add(at)
    out: set[int] = set()
    for pair in telling.keys() & asking.keys():
        out |= asking[pair] if len(telling[pair]) > len(asking[pair]) else telling[pair]
    return _by_side(rows, lambda at: at not in out), _by_side(rows, lambda at: at in out)


def _told_by(row: DataRow) -> Iterable[Answered]:
    """Yield every answer that a training row tells; of a pair also the worse one, which somebody may have approved."""
    yield from answered_in(row.messages)
    rejected = row.material.rejected
    if rejected is not None and (worse := last_answered((*row.row.messages, dict(rejected)))) is not None:
        yield worse


def _by_side(rows: Sequence[DataRow], chosen: Callable[[int], bool]) -> dict[Split, tuple[DataRow, ...]]:
    sides: dict[Split, list[DataRow]] = {split: [] for split in Split}
    for at, row in enumerate(rows):
        if chosen(at):
            sides[row.split].append(row)
    # By the input's id, which is a hash: neighbours in a source are none in the file.
    return {split: tuple(sorted(own, key=lambda row: _order(row)[1:])) for split, own in sides.items()}


def _files(rows: Mapping[Split, Sequence[DataRow]]) -> tuple[dict[str, bytes], dict[str, ManifestFile]]:
    files: dict[str, bytes] = {}
    told: dict[str, ManifestFile] = {}
    for split in Split:
        pairs = [row for row in rows[split] if row.is_pair]
        for name, own, line in (
            (EXAMPLES[split], rows[split], DataRow.example),
            (PAIRS[split], pairs, DataRow.pair),
        ):
            if own:
                files[name] = b"".join(map(line, own))
                told[name] = ManifestFile(sha256_of(files[name]), tuple(row.told() for row in own))
    return files, told


def _manifest(
    rows: Mapping[Split, Sequence[DataRow]],
    files: Mapping[str, bytes],
    told: Mapping[str, ManifestFile],
    whose: Whose,
    redacted: Mapping[str, int],
) -> Manifest:
    every = [row for split in Split for row in rows[split]]
    models = sum(row.material.origin == "model" for row in every)
    return Manifest(
        route=whose.route,
        tenant=whose.tenant,
        format=CANONICAL,
        files=told,
        built_at=whose.at,
        by=whose.by,
        sources=dict(sorted(Counter(row.material.source for row in every).items())),
        systems=systems_in(files.get(TRAIN, b"")),
        split=SPLIT_RULE,
        redacted=dict(sorted(redacted.items())),
        tokens={name: tokens_in(files[name]) for name in EXAMPLES.values() if name in files},
        counted_by=counted_by(),
        terms=TERMS.format(models=models, rows=len(every)) if models else "",
        dataset_hash=hash_of(files),
    )
