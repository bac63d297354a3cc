"""What models refuse of a request: data for looking ahead, never for the request path.

Two sources. ``data/refused_parameters.json`` is ours: dated, each row with its source. A row holds for the models that
one of its patterns matches (``fnmatch``), by their own name or their base's, unless the target's parameters set what
``unless`` says. litellm's map has ``supports_*``, of which only a written ``false`` counts: what is absent is unknown.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from gateway.config.routes import Frozen, Target
from gateway.policy.traits import OTHER_PARAMETERS, UNLISTED
from gateway.providers.litellm_map import PREFIX, Rows, bundled_map, is_openais

REFUSED_PATH: Final = Path(__file__).parent.parent / "data" / "refused_parameters.json"
# The traits of a request that a model must be able to take, by litellm's names.
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "supports_audio_input": ("audio_input",),
    "supports_function_calling": ("functions", "tools"),
    "supports_parallel_function_calling": ("parallel_tool_calls",),
    "supports_pdf_input": ("file",),
    "supports_response_schema": ("json_schema",),
    "supports_vision": ("image",),
}
# They answer 400 to a parameter that is not theirs.
_STRICT_KINDS: Final = frozenset(("openai", "azure"))


class RefusedRow(Frozen):
    """Parameters that some models refuse."""

    kinds: tuple[str, ...]
    models: tuple[str, ...]
    refuses: tuple[str, ...]
    unless: Mapping[str, Any]
    """The target's own parameters that lift the refusal."""
    source: str

    def speaks_of(self, kind: str, model: str, base: str | None) -> bool:
        """Tell whether the row is of this model."""
        names = [name for name in (model, base) if name is not None]
        return kind in self.kinds and any(fnmatchcase(name, pattern) for name in names for pattern in self.models)


class RefusedParameters(Frozen):
    """The file."""

    dated: date
    rows: tuple[RefusedRow, ...]


def read_refused(path: Path = REFUSED_PATH) -> RefusedParameters:
    """Read our own rows. Raises pydantic's ``ValidationError`` where the file is not of the documented shape."""
    return TypeAdapter(RefusedParameters).validate_json(path.read_bytes())


class Abilities:
    """What targets refuse. Holds litellm's whole map, some 30 MiB: made for a command, and let go of with it."""

    @cached_property
    def _own(self) -> tuple[RefusedRow, ...]:
        return read_refused().rows

    @cached_property
    def _rows(self) -> Rows:
        return bundled_map().read()

    def refused_by(self, target: Target) -> Mapping[str, str]:
        """Return each trait that the target's model refuses → who says so."""
        kind = target.provider.kind
        refused = dict(self._of_map(target))
        if kind in _STRICT_KINDS:
            refused |= dict.fromkeys((*OTHER_PARAMETERS, UNLISTED), "OpenAI refuses parameters that are not its own")
        for row in self._own:
            lifted = row.unless and row.unless.items() <= target.parameters.set.items()
            if not lifted and row.speaks_of(kind, target.model, target.base):
                refused |= dict.fromkeys(row.refuses, row.source)
        return refused

    def _of_map(self, target: Target) -> Iterator[tuple[str, str]]:
        if (prefix := PREFIX.get(target.provider.kind)) is None:
            return
        for name in dict.fromkeys((target.model, target.base)):
            row = self._rows.get(prefix + name) if name else None
            if row is None or not (prefix or is_openais(row)):
                continue
            for flag, traits in _NEEDS.items():
                if row.get(flag) is False:
                    yield from ((trait, bundled_map().source) for trait in traits)
            return
