"""Data sets on disk, with the manifests that go with them."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.learning.datasets.manifest import Manifest, ManifestFile, ManifestRow
from gateway.store.evaluations import Evaluation

BUILT_AT = datetime(2026, 11, 29, tzinfo=UTC)


def row(question: str, answer: str, **more: Any) -> dict[str, Any]:
    """Return a training row."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


def put(path: Path, *rows: Any) -> Path:
    """Write rows to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(json.dumps(one).encode() + b"\n" for one in rows))
    return path


def built(
    directory: Path, form: str = "canonical", told: ManifestRow | None = None, route: str = "triage", **files: list[Any]
) -> Path:
    """Write a data set with its manifest; ``train_preferences`` is train.preferences.jsonl."""
    told = told or ManifestRow("0" * 16, "file.jsonl", "unknown", "file")
    known = {}
    for name, rows in files.items():
        path = put(directory / f"{name.replace('_', '.')}.jsonl", *rows)
        known[path.name] = ManifestFile(hashlib.sha256(path.read_bytes()).hexdigest(), (told,) * len(rows))
    manifest = Manifest(route, None, form, known, BUILT_AT, "ada")
    (directory / "manifest.json").write_bytes(manifest.to_bytes())
    return directory


def an_evaluation(number: int, report: str) -> Evaluation:
    """Return a verdict on route triage with this report."""
    none = ("difference", "difference_low", "difference_high", "retained", "retained_low", "retained_high")
    return Evaluation(
        evaluation_id=f"01990000-0000-7000-8000-00000000000{number}",
        route="triage",
        target="luna",
        provider="acme",
        model="gpt-6-luna",
        prompt_version="",
        terms=str(number),
        verdict="accept",
        looks="once",
        measure="exact",
        margin=0.05,
        rows=10,
        **dict.fromkeys((*none, "cost_change", "first_token_change")),
        report=report,
        evaluated_at=datetime(2026, 11, 20 + number, tzinfo=UTC),
    )
