"""Recordings as training rows, with a manifest that says a model wrote them."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from gateway.config.routes import Target
from gateway.learning.recordings.plan import FIRST
from gateway.store.recordings import Recording

TERMS: Final = (
    "The answers were written by a model. Its provider's terms may forbid training other models on them: read them "
    "before you use these rows for anything but this model's own successor at the same provider."
)


def exportable(recordings: Iterable[Recording]) -> list[Recording]:
    """Return the recordings that make a training row: first samples with an answer."""
    return [row for row in recordings if row.sample == FIRST and row.answer is not None]


def training_lines(recordings: Sequence[Recording]) -> bytes:
    """Write recordings in OpenAI's format for supervised fine-tuning, one row a line."""
    return b"".join(orjson.dumps(_training_row(row)) + b"\n" for row in recordings)


def manifest(
    content: bytes, recordings: Sequence[Recording], route: str, primary: Target, tenant: str, exported_at: datetime
) -> bytes:
    """Return what is to be known of an exported file, as JSON."""
    dates = sorted(row.recorded_at for row in recordings)
    told = {
        "format": 1,
        "written_by": "model",
        "route": route,
        "tenant": tenant or None,
        "provider": primary.provider.name,
        "provider_kind": primary.provider.kind,
        "model": primary.model,
        "rows": len(recordings),
        "sha256": hashlib.sha256(content).hexdigest(),
        "sources": sorted({row.source for row in recordings}),
        "first_recorded_at": dates[0].isoformat() if dates else None,
        "last_recorded_at": dates[-1].isoformat() if dates else None,
        "exported_at": exported_at.isoformat(),
        "terms": TERMS,
    }
    return orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n"


def _training_row(row: Recording) -> dict[str, Any]:
    request = orjson.loads(row.request)
    return {**request, "messages": [*request["messages"], orjson.loads(row.answer or "")]}
