"""What became of rows: of those that a data set was built of, and of those that were exported."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gateway.cli.aligned import aligned
from gateway.config.findings import printable
from gateway.learning.datasets.building import FLOOR, START, TRAIN
from gateway.lifecycle.forecast_words import counted
from gateway.policy.splits import Split

if TYPE_CHECKING:
    from gateway.cli.dataset_work import Published
    from gateway.learning.datasets.building import Built
    from gateway.learning.datasets.export import Exported
    from gateway.learning.datasets.formats import Format

_SHOWN = 10
_HEADERS = ("source", "read", "train", "evaluation", "left out")
_UNREGISTERED = "There is no database: nothing will find these files when somebody wants their rows deleted."


def built_report(built: "Built", published: "Published") -> dict[str, Any]:
    """Return the figures of a data set that was built, as one JSON object."""
    manifest = published.manifest
    train = len(manifest.rows(TRAIN))
    return {
        "route": manifest.route,
        "tenant": manifest.tenant,
        "dataset_hash": manifest.dataset_hash,
        "manifest": str(published.path),
        "files": _files(published),
        "counted_by": manifest.counted_by,
        "sources": _by_source(built),
        "left_out": dict(manifest.left_out),
        "unusable": [{"where": where, "reason": printable(why)} for where, why in built.sourced.unusable],
        "duplicates": [{"where": where, "stays": stays} for where, stays in built.duplicates],
        "leaks": [where for split in Split for where in built.leaking[split]],
        "deleted": list(built.deleted),
        "conflicting": [list(rows) for rows in built.conflicting],
        "beginning_alike": _beginning_alike(built),
        "readiness": {"train": train, "floor": FLOOR, "start": START, "says": _readiness(train)},
        "replaced_training_rows": published.replaced_rows,
        "redacted": dict(manifest.redacted),
        "terms": manifest.terms or None,
        "is_registered": published.is_registered,
    }


def built_lines(told: dict[str, Any]) -> Iterator[str]:
    """Yield it in words."""
    whose = f" of tenant {told['tenant']}" if told["tenant"] else ""
    yield f"{told['route']}{whose}: {told['readiness']['says']}"
    rows = [(name, *map(_number, own.values())) for name, own in told["sources"].items()]
    yield from (f"  {line}" for line in aligned([_HEADERS, *rows]))
    for name, file in told["files"].items():
        tokens = f", {file['tokens']:,} tokens" if file["tokens"] is not None else ""
        yield f"  {name}: {counted(file['rows'], 'row')}{tokens}"
    if told["beginning_alike"]:
        alike = counted(told["beginning_alike"], "row")
        yield f"  {alike} begin with the same question, so all are on one side: examples belong into the system message"
    if told["redacted"]:
        yield f"  blacked out: {', '.join(f'{count:,} × {kind}' for kind, count in told['redacted'].items())}"
    yield from _left_out_lines(told)
    if told["replaced_training_rows"] > told["readiness"]["train"]:
        yield f"  it takes the place of one with {counted(told['replaced_training_rows'], 'training row')}: see --from"
    yield f"  {told['dataset_hash']}"
    yield f"what they are: {told['manifest']}"
    if told["terms"]:
        yield told["terms"]
    if not told["is_registered"]:
        yield _UNREGISTERED


def _left_out_lines(told: dict[str, Any]) -> Iterator[str]:
    lists = (
        ("no example", [f"{row['where']}: {row['reason']}" for row in told["unusable"]]),
        ("there already", [f"{row['where']}, as {row['stays']}" for row in told["duplicates"]]),
        ("telling the answer of an evaluation row, or told", told["leaks"]),
        ("deleted at somebody's wish", told["deleted"]),
    )
    for what, rows in lists:
        yield from _listed(f"left out, {what}: {counted(len(rows), 'row')}", rows)
    if foreign := told["left_out"].get("other tenant"):
        yield f"  left out, of other tenants: {counted(foreign, 'row')}"
    conflicts = [" and ".join(rows) for rows in told["conflicting"]]
    yield from _listed(f"kept, with more than one answer: {counted(len(conflicts), 'input')}", conflicts)


def export_report(exported: "Exported", published: "Published", form: "Format") -> dict[str, Any]:
    """Return the figures of an export, as one JSON object."""
    rows = exported.rows(TRAIN)
    notes = list(exported.notes)
    if rows < form.fewest_rows:
        notes.append(f"{form.trainer} wants {form.fewest_rows} training rows at least: there are {rows}")
    if form.most_rows is not None and rows > form.most_rows:
        notes.append(f"{form.trainer} takes {form.most_rows:,} training rows at most: there are {rows:,}")
    return {
        "route": exported.manifest.route,
        "format": form.name,
        "trainer": form.trainer,
        "dataset_hash": exported.manifest.dataset_hash,
        "manifest": str(published.path),
        "files": _files(published),
        "left_out": [
            {"file": row.file, "line": row.line, "reason": printable(row.reason)} for row in exported.left_out
        ],
        "notes": notes,
        "terms": exported.manifest.terms or None,
        "is_registered": published.is_registered,
    }


def export_lines(told: dict[str, Any]) -> Iterator[str]:
    """Yield it in words; of many lines that are left out for one reason the first are named."""
    yield f"{told['route']} for {told['trainer']} ({told['format']})"
    for name, file in told["files"].items():
        yield f"  {name}: {counted(file['rows'], 'row')}"
    reasons = Counter(row["reason"] for row in told["left_out"])
    for reason, count in reasons.most_common():
        places = [f"{row['file']}:{row['line']}" for row in told["left_out"] if row["reason"] == reason]
        more = f" and {count - _SHOWN:,} more" if count > _SHOWN else ""
        yield f"  left out: {counted(count, 'row')}: {reason} ({', '.join(places[:_SHOWN])}{more})"
    yield from (f"  note: {note}" for note in told["notes"])
    yield f"what they are: {told['manifest']}"
    if told["terms"]:
        yield told["terms"]
    if not told["is_registered"]:
        yield _UNREGISTERED


def _files(published: "Published") -> dict[str, dict[str, int | None]]:
    manifest = published.manifest
    return {
        name: {"rows": len(file.rows), "tokens": manifest.tokens.get(name)} for name, file in manifest.files.items()
    }


def _by_source(built: "Built") -> dict[str, dict[str, int]]:
    kept = {split: Counter(row.material.source for row in built.rows[split]) for split in Split}
    return {
        source: {
            "read": read,
            "train": kept[Split.TRAIN][source],
            "evaluation": kept[Split.EVALUATION][source],
            "left_out": read - kept[Split.TRAIN][source] - kept[Split.EVALUATION][source],
        }
        for source, read in built.sourced.read.items()
    }


def _beginning_alike(built: "Built") -> int:
    """Return how many rows begin as one conversation does, where most do; 0 where there is a choice of sides."""
    groups = Counter(row.group for split in Split for row in built.rows[split])
    most = max(groups.values(), default=0)
    return most if most >= FLOOR and 2 * most > groups.total() else 0


def _readiness(train: int) -> str:
    rows = counted(train, "training row")
    if train < FLOOR:
        few = f"{rows}: too few; below {FLOOR} nothing is learnt, and OpenAI takes no file"
        return f"{few}: mark more, or add --from FILE"
    if train < START:
        return f"{rows}: enough to try, {START} are a start"
    return f"{rows}: a start is made; more help less and less"


def _listed(title: str, rows: Sequence[str]) -> Iterator[str]:
    if not rows:
        return
    yield f"  {title}"
    yield from (f"    {row}" for row in rows[:_SHOWN])
    if len(rows) > _SHOWN:
        yield f"    and {len(rows) - _SHOWN:,} more (--json has all of them)"


def _number(count: int) -> str:
    return f"{count:,}"
