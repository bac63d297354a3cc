"""litellm's bundled map of models, read as data and never imported: prices, and the days on which models stop.

The whole map takes some 30 MiB and is nobody's to keep. Its dates, a fiftieth of it, stay for the life of the process.
"""

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from datetime import date
from functools import cache, cached_property
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
    "cerebras": "cerebras/",
    "perplexity": "perplexity/",
    "gemini": "gemini/",
    "anthropic": "",
    "bedrock": "",
    "cohere": "",
    "vertex": "",
    "vertex-openai": "",
}
# Keys without a prefix belong to many vendors: whose a row is, litellm's name of the provider tells up to its hyphen.
_BARE: Final[Mapping[str, frozenset[str]]] = {
    "openai": frozenset({"openai", "text-completion-openai"}),
    "anthropic": frozenset({"anthropic"}),
    "bedrock": frozenset({"bedrock", "bedrock_converse"}),
    "cohere": frozenset({"cohere", "cohere_chat"}),
    "vertex": frozenset({"vertex_ai"}),
    "vertex-openai": frozenset({"vertex_ai"}),
}
VERTEX: Final = "vertex_ai/"
"""Begins the keys of other makers' models at Vertex AI; Google's own have no prefix there."""

_WITHOUT_SLASH: Final = frozenset({"openai", "azure", "anthropic", "bedrock", "cohere"})


def keys_of(kind: str, model: str) -> tuple[str, ...]:
    """Return the keys under which the map may have a model, the likeliest first."""
    prefix = PREFIX.get(kind)
    if prefix is None:
        return ()
    if kind == "vertex-openai":
        model = model.removeprefix("google/")
    return (prefix + model, VERTEX + model) if kind.startswith("vertex") else (prefix + model,)


def is_of(kind: str, row: Mapping[str, Any]) -> bool:
    """Tell whether a row, found by one of ``keys_of``, is this kind's."""
    names = _BARE.get(kind)
    provider = str(row.get("litellm_provider"))
    return names is None or provider in names or provider.partition("-")[0] in names


class LitellmMap:
    """The map's file. Reading it whole takes some 50 ms; the dates are taken along the first time."""

    def __init__(self, path: Path | None) -> None:
        """Take the file's path; None: there is no such file, and the map is empty."""
        self._path = path
        self._dates: Mapping[tuple[str, str], date] | None = None

    @cached_property
    def source(self) -> str:
        """Which map this is. Reading the installed version takes as long as a fifth of the map."""
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
            kind = next((bare for bare in _BARE if is_of(bare, row)), "")
            model = key.removeprefix(VERTEX) if kind == "vertex" else key
        # These name no model with a slash: what has one is the price of a region, or of a picture's size.
        if kind and not (kind in _WITHOUT_SLASH and "/" in model):
            found[kind, model] = day
    return found


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
