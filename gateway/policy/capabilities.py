"""What one target takes of a request: what is renamed for it, what it can do without, and what it lacks. Pure.

The facts are rows of a dated table (``data/capabilities.json``), each with its source, and the operator's own
(``capabilities:`` in routes.yaml), which outrank them. Nothing else decides: litellm's map only warns.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, Final

from gateway.config.routes import CapabilityEntry, Frozen, Target
from gateway.policy.history import forget_parsed, forget_reasoning
from gateway.policy.parameters import drop_from, set_in, value_in, words_for
from gateway.policy.tool_calls import Form, map_items, map_messages

_BY_ANOTHER_TOKENIZER: Final = "logit_bias"
_HISTORY: Final = frozenset(("parsed_history", "reasoning_history", "tool_messages"))


class CapabilityRow(Frozen):
    """What some models take, or do not."""

    kinds: tuple[str, ...]
    models: tuple[str, ...] = ("*",)
    """Patterns (``fnmatch``) of which a model's id or its base's matches one."""
    endpoints: tuple[str, ...] = ("chat_completions", "responses")
    when: tuple[str, ...] = ()
    """Words of which a request must have one for ``sets`` to hold; none: always."""
    unless: Mapping[str, Any] = {}
    """Parameters with which the row does not hold, the request's own or the target's."""
    renames: Mapping[str, str] = {}
    sets: Mapping[str, Any] = {}
    drops: tuple[str, ...] = ()
    """What can be lost: an answer without it is still an answer to this request."""
    lacks: tuple[str, ...] = ()
    """Words (``traits``) whose loss would change what the request means."""
    tool_call_ids: Form | None = None
    history: tuple[str, ...] | None = None
    """Fields of reasoning that it takes back in messages, of those there are; None: not known, so all are left."""
    tokenizer: str | None = None
    source: str
    read: date | None = None

    def speaks_of(self, kind: str, model: str, base: str | None) -> bool:
        """Tell whether the row is of this model."""
        names = [name for name in (model, base) if name is not None]
        return kind in self.kinds and any(fnmatchcase(name, pattern) for name in names for pattern in self.models)

    @property
    def cited(self) -> str:
        """Where it was read, and when."""
        return f"{self.source}, read {self.read}" if self.read else self.source

    def holds(self, body: Mapping[str, Any], endpoint: str) -> bool:
        """Tell whether a request's own parameters leave the row in force."""
        return not self.unless or any(value_in(body, name, endpoint) != said for name, said in self.unless.items())


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one target takes; built once per configuration."""

    rows: tuple[CapabilityRow, ...] = ()
    sensitive: frozenset[str] = frozenset()
    """Words of a request that make a difference to this target; without any of them there is nothing to adapt."""
    lacked: Mapping[str, CapabilityRow] = field(default_factory=dict)
    """Word → the row that says that this target lacks it."""

    @property
    def lackable(self) -> frozenset[str]:
        """The words that may keep this target from answering."""
        return frozenset(self.lacked)

    def lacks(self, words: Iterable[str], endpoint: str) -> str | None:
        """Say what of these words this target lacks at an endpoint, and who says so; None: nothing."""
        lacking = sorted(word for word in words if word in self.lacked and endpoint in self.lacked[word].endpoints)
        if not lacking:
            return None
        return f"takes no {' and no '.join(lacking)} ({self.lacked[lacking[0]].cited})"

    def adapt(self, body: dict[str, Any], endpoint: str) -> list[str]:
        """Change a body at its top level, since what is nested is the caller's own; return the names that changed."""
        changed: dict[str, None] = {}
        for row in self.rows:
            if endpoint in row.endpoints and row.holds(body, endpoint):
                changed |= dict.fromkeys(_adapt_by(row, body, endpoint))
        return list(changed)


def capabilities_of(
    target: Target,
    primary: Target | None,
    table: Sequence[CapabilityRow],
    own: Mapping[str, Mapping[str, CapabilityEntry]],
) -> Capabilities:
    """Return what a target takes; ``own`` is the operator's, by provider and model."""
    entry = own.get(target.provider.name, {}).get(target.model)
    # What the operator sets for this target is sent: it was decided.
    taken = (*(entry.takes if entry is not None else ()), *target.parameters.set)
    rows = [_without(row, taken) if taken else row for row in table if _is_in_force(row, target)]
    if entry is not None:
        rows.insert(0, _operators(entry, target))
    # What the operator drops is no loss to anybody, for the same reason.
    decided = {*target.parameters.drop, *target.parameters.rename}
    lacked = {word: row for row in reversed(rows) for word in row.lacks if word not in decided}
    other = _other_tokenizer(target, primary, table)
    if other is not None and _BY_ANOTHER_TOKENIZER not in (*decided, *taken):
        lacked.setdefault(_BY_ANOTHER_TOKENIZER, other)
    return Capabilities(tuple(rows), _sensitive(rows), lacked)


def _is_in_force(row: CapabilityRow, target: Target) -> bool:
    given = target.parameters.set
    lifted = bool(row.unless) and all(given.get(name) == value for name, value in row.unless.items())
    return not lifted and row.speaks_of(target.provider.kind, target.model, target.base)


def _operators(entry: CapabilityEntry, target: Target) -> CapabilityRow:
    return CapabilityRow(
        kinds=(target.provider.kind,),
        renames=entry.renames,
        drops=entry.drops,
        lacks=entry.lacks,
        source=f"routes.yaml: {entry.source}",
    )


def _without(row: CapabilityRow, takes: Iterable[str]) -> CapabilityRow:
    """Return a row that says nothing of what the operator says is taken."""
    taken = frozenset(takes)
    return row.model_copy(
        update={
            "renames": {old: new for old, new in row.renames.items() if old not in taken},
            "sets": row.sets if taken.isdisjoint((*row.when, *row.sets)) else {},
            "drops": tuple(name for name in row.drops if name not in taken),
            "lacks": tuple(word for word in row.lacks if word not in taken),
        }
    )


def _other_tokenizer(target: Target, primary: Target | None, table: Sequence[CapabilityRow]) -> CapabilityRow | None:
    """Return why a bias by token ids means nothing to this target: the ids are the primary's."""
    if primary is None or target is primary:
        return None
    ours, theirs = (_tokenizer(one, table) for one in (target, primary))
    if ours is not None and ours == theirs:
        return None
    source = f"its tokenizer is not known to be that of {primary.model}, whose token ids a logit_bias names"
    return CapabilityRow(kinds=(target.provider.kind,), source=source)


def _tokenizer(target: Target, table: Sequence[CapabilityRow]) -> str | None:
    rows = (row for row in table if row.tokenizer and row.speaks_of(target.provider.kind, target.model, target.base))
    return next((row.tokenizer for row in rows), None)


def _sensitive(rows: Iterable[CapabilityRow]) -> frozenset[str]:
    words: set[str] = set()
    for row in rows:
        names = {*row.renames, *row.drops, *row.when, *(row.sets if not row.when else ())}
        words.update(*map(words_for, names))
        if row.tool_call_ids is not None or row.history is not None:
            words |= _HISTORY
    return frozenset(words)


# One row, carried out.


def _adapt_by(row: CapabilityRow, body: dict[str, Any], endpoint: str) -> list[str]:
    changed = []
    for old, new in row.renames.items():
        if body.get(old) is not None:
            value = body.pop(old)
            if body.get(new) is None:
                body[new] = value
            changed.append(old)
    if row.sets and (not row.when or any(body.get(name) for name in row.when)):
        for name, value in row.sets.items():
            if value_in(body, name, endpoint) != value:
                set_in(body, name, value, endpoint)
                changed.append(name)
    given = [name for name in row.drops if value_in(body, name, endpoint) is not None]
    changed += [name for name in given if drop_from(body, name, endpoint)]
    if row.tool_call_ids is not None:
        changed += _map_calls(body, row.tool_call_ids)
    if row.history is not None:
        changed += forget_reasoning(body, frozenset(row.history)) + forget_parsed(body)
    return changed


def _map_calls(body: dict[str, Any], form: Form) -> list[str]:
    for name, mapped_by in (("messages", map_messages), ("input", map_items)):
        given = body.get(name)
        if isinstance(given, list) and (mapped := mapped_by(given, form)) is not given:
            body[name] = mapped
            return ["tool_call_id"]
    return []
