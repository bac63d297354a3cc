"""What models refuse of a request, for looking ahead: more than the request path acts on.

The capabilities table and the operator's own decide what a target lacks. litellm's map has ``supports_*`` besides, of
which only a written ``false`` counts, and that only for warnings: what is absent is unknown.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Final

from gateway.config.routes import CapabilityEntry, Target
from gateway.policy.capabilities import capabilities_of
from gateway.policy.traits import OTHER_PARAMETERS, UNLISTED
from gateway.providers.capability_table import capability_rows
from gateway.providers.litellm_map import Rows, bundled_map, is_of, keys_of

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


class Abilities:
    """What targets refuse. Holds litellm's whole map, some 30 MiB: made for a command, and let go of with it."""

    def __init__(self, own: Mapping[str, Mapping[str, CapabilityEntry]] = MappingProxyType({})) -> None:
        """Take what the operator knows, by provider and model."""
        self._own = own

    @cached_property
    def _rows(self) -> Rows:
        return bundled_map().read()

    def refused_by(self, target: Target) -> Mapping[str, str]:
        """Return each trait that the target's model refuses → who says so."""
        kind = target.provider.kind
        refused = dict(self._of_map(target))
        if kind in _STRICT_KINDS:
            refused |= dict.fromkeys((*OTHER_PARAMETERS, UNLISTED), "OpenAI refuses parameters that are not its own")
        entry = self._own.get(target.provider.name, {}).get(target.model)
        # What the gateway renames or drops by itself is refused by nobody, unless the operator sets it.
        for word in (*(entry.takes if entry is not None else ()), *self.adapted_by(target)):
            refused.pop(word, None)
        for row in capability_rows():
            if row.speaks_of(kind, target.model, target.base):
                names = target.parameters.set.keys() & {*row.drops, *row.renames}
                lifted = row.unless and row.unless.items() <= target.parameters.set.items()
                refused |= dict.fromkeys(() if lifted else names, row.cited)
        lacked = capabilities_of(target, None, capability_rows(), self._own).lacked
        return refused | {word: row.cited for word, row in lacked.items()}

    def adapted_by(self, target: Target) -> frozenset[str]:
        """Return the parameters that the gateway itself renames or drops for a target, or sets another one for."""
        rows = capabilities_of(target, None, capability_rows(), self._own).rows
        return frozenset(name for row in rows for name in (*row.renames, *row.drops, *(row.when if row.sets else ())))

    def _of_map(self, target: Target) -> Iterator[tuple[str, str]]:
        kind = target.provider.kind
        names = [name for name in (target.model, target.base) if name]
        for key in dict.fromkeys(key for name in names for key in keys_of(kind, name)):
            row = self._rows.get(key)
            if row is None or not is_of(kind, row):
                continue
            for flag, traits in _NEEDS.items():
                if row.get(flag) is False:
                    yield from ((trait, bundled_map().source) for trait in traits)
            return
