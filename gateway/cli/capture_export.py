"""Captured rows as a training file, and the manifest that says what it is."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.learning.whole_files import put_file

if TYPE_CHECKING:
    from gateway.store.captured import Captured

TERMS: Final = (
    "The answers were written by models, not by people. Their providers' terms may forbid training other models on "
    "them: read the terms before you do."
)


def training_line(row: "Captured") -> bytes:
    """Return a row as OpenAI's fine-tuning reads it: the messages with the answer as the last, and the tools."""
    request = orjson.loads(row.request)
    whole: dict[str, Any] = {"messages": [*request["messages"], orjson.loads(row.answer)]}
    if request.get("tools"):
        whole["tools"] = request["tools"]
    return orjson.dumps(whole, option=orjson.OPT_APPEND_NEWLINE)


def manifest_of(out: Path) -> Path:
    """Return where the manifest of a file of captured rows lies."""
    return out.with_name(f"{out.name}.manifest.json")


def write_export(out: Path, route: str, tenant: str | None, rows: Sequence["Captured"], now: datetime) -> Path:
    """Write the rows to a file, and its manifest beside it, both for their owner alone; return the manifest's path."""
    content = b"".join(map(training_line, rows))
    redacted: Counter[str] = Counter()
    for row in rows:
        redacted.update(row.redacted)
    models = Counter((row.provider, row.model, row.role.value, row.prompt_version) for row in rows)
    keys = ("provider", "model", "role", "prompt_version", "rows")
    manifest = {
        "file": out.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "route": route,
        "tenant": tenant,
        "origin": "captured",
        "model_generated": True,
        "terms": TERMS,
        "rows": len(rows),
        "models": [dict(zip(keys, (*model, count), strict=True)) for model, count in models.most_common()],
        "redacted": dict(sorted(redacted.items())),
        "captured_from": rows[0].captured_at,
        "captured_until": rows[-1].captured_at,
        "exported_at": now,
    }
    beside = manifest_of(out)
    put_file(beside, orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    put_file(out, content)
    return beside
