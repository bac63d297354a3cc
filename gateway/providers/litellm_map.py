"""litellm's bundled map of models, read as data and never imported: prices, and the days on which models stop.

The whole map takes some 30 MiB and is nobody's to keep. Its dates, a fiftieth of it, stay for the life of the process.
"""

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

Rows = dict[str, dict[str, Any]]

# How the map's keys begin, by kind. A kind that is absent is self-hosted or anyone's: a vLLM that serves a model under
# a vendor's name has neither that vendor's prices nor its dates.
PREFIX: Final[Mapping[str, str]] = {
    "openai": "",
    "azure": "azure/",
    "mistral": "mistral/",
    "together": "together_ai/",
    "fireworks": "fireworks_ai/",
    "groq": "groq/",
    "deepseek": "deepseek/",
    "openrouter": "openrouter/",
    "xai": "xai/",
    "databricks": "databricks/",
}
# Keys without a prefix belong to many vendors.
_OPENAI: Final = frozenset({"openai", "text-completion-openai"})


def is_openais(row: Mapping[str, Any]) -> bool:
    """Tell whether a row whose key has no prefix is OpenAI's."""
    return row.get("litellm_provider") in _OPENAI


class LitellmMap:
    """The map's file. Reading it whole takes some 50 ms; the dates are taken along the first time."""

    def __init__(self, path: Path | None) -> None:
        """Take the file's path; None: there is no such file, and the map is empty."""
        self._path = path
        self._dates: Mapping[tuple[str, str], date] | None = None

    @property
    def source(self) -> str:
        """Which map this is."""
        return f"litellm-{importlib.metadata.version('litellm')}"

    def read(self) -> Rows:
        """Return every row by its key; the caller lets go of them soon."""
        rows: Rows = orjson.loads(self._path.read_bytes()) if self._path else {}
        if self._dates is None:
            self._dates = _dates(rows)
        return rows

    def dates(self) -> Mapping[tuple[str, str], date]:
        """Return kind and model → the first day on which it is not served. ``ft:<base>`` stands for fine-tunes."""
        if self._dates is None:
            self.read()
        return self._dates or {}


@cache
def bundled_map() -> LitellmMap:
    """Return the map of the installed litellm; nothing is read yet."""
    # find_spec on a top-level package locates it without running it; importlib.resources would import it.
    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        return LitellmMap(None)
    return LitellmMap(Path(spec.origin).parent / "model_prices_and_context_window_backup.json")


def _dates(rows: Rows) -> dict[tuple[str, str], date]:
    kinds = {prefix: kind for kind, prefix in PREFIX.items() if prefix}
    found: dict[tuple[str, str], date] = {}
    for key, row in rows.items():
        day = _day(row.get("deprecation_date"))
        if day is None:
            continue
        prefix, slash, model = key.partition("/")
        if (kind := kinds.get(prefix + slash)) is None:
            kind, model = "openai", key if is_openais(row) else ""
        # These two name no model with a slash: what has one is the price of a region, or of a picture's size.
        if model and not (kind in ("openai", "azure") and "/" in model):
            found[kind, model] = day
    return found


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
