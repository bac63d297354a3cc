"""Prompt packs built: examples chosen for what they cover, within a budget of tokens, the same bytes every time."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config.packs import (
    FIXED,
    FORMAT,
    HELD_OUT,
    INSTRUCTIONS,
    MAX_FILE_BYTES,
    POOL,
    Pack,
    PackExample,
    example_line,
    parse_pack,
    sealed,
)
from gateway.errors import ConfigError
from gateway.learning.capture.redaction import Redactor
from gateway.learning.packs.budget import Budget, budget_of, fit, room_for_similar
from gateway.learning.packs.rows import PackRow, PackRows, Source, labels_of, pack_rows
from gateway.learning.packs.tokens import counted_by, tokens_of
from gateway.learning.packs.training_rows import systems
from gateway.policy.coverage import cover
from gateway.policy.inputs import asked_text

_TRAINED_SHARE = 0.2
FROM_ROWS = "the training rows' system message"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a pack is to be."""

    route: str
    tenant: str | None = None
    fixed: int = 20
    """Examples in every request."""
    similar: int = 4
    """Up to so many more, found for each request."""
    similar_tokens: int | None = None
    """None: so many times the 90th percentile of the pool's examples."""
    budget_tokens: int | None = None
    """For all of it; None: what the window leaves."""
    window: int | None = None
    """The target's context window; None: not known."""
    hold_out: float = 0.2
    """The share of conversations that are kept out, for evaluation."""
    instructions: str | None = None
    """Somebody's words, taken as they are; None: the system message that most rows have, redacted."""
    instructions_from: str = FROM_ROWS
    """Where they come from, in words."""


@dataclass(frozen=True, slots=True)
class SystemMessages:
    """The system messages of rows, white space aside."""

    counts: Mapping[str | None, int]
    """The commonest first; None: rows without one."""
    commonest: str | None
    """As it is written."""
    trained: tuple[str, ...]
    """Those that at least a fifth of the rows has, as they are written."""


@dataclass(frozen=True, slots=True)
class Built:
    """A pack that nobody has written yet."""

    pack: Pack
    files: Mapping[str, bytes] = field(repr=False)
    held_out: bytes = field(repr=False)
    """The rows that were kept out, as a training file."""
    rows: PackRows = field(repr=False)
    budget: Budget
    mean_input: int
    """Tokens of what the rows ask, system message and tools included."""
    mean_answer: int
    systems: SystemMessages = field(repr=False)
    not_trained: Counter[str]
    """What was found in system messages that were therefore left out of ``trained_system``, by kind."""
    in_instructions: Counter[str]
    """What was found in instructions that a person wrote, and stays."""


def build(sources: Sequence[Source], settings: Settings, redactor: Redactor) -> Built:
    """Build a pack. The same rows, in any order, and the same settings give the same bytes.

    Raises:
        ConfigError: the budget is too small, or a file of the pack would be too large.
    """
    rows = pack_rows(sources, redactor, settings.hold_out)
    inputs, answers = [row.input_tokens for row in rows.all], [row.answer_tokens for row in rows.all]
    budget = budget_of(settings.window, max(inputs) + max(answers), settings.budget_tokens)
    said = system_messages(row for source in sources for row in source.rows)
    instructions, redacted = settings.instructions, dict(rows.redacted)
    in_instructions = redactor.find(instructions) if instructions is not None else Counter[str]()
    if instructions is None:
        instructions = redactor.text(said.commonest or "")[0]
    instructions = instructions.strip()
    in_trained = {text: redactor.find(text) for text in said.trained}
    ordered = [row.example() for row in in_order(rows.kept)]
    tokens = tokens_of([{"content": instructions}]) if instructions else 0
    sizes = [example.tokens for example in ordered]
    fitted = fit(budget.tokens, tokens, sizes, settings.fixed, settings.similar, settings.similar_tokens)
    chosen = frozenset(fitted.fixed)
    fixed = tuple(ordered[position] for position in fitted.fixed)
    pool = tuple(example for position, example in enumerate(ordered) if position not in chosen)
    manifest = {
        "route": settings.route,
        "tenant": settings.tenant,
        "similar": settings.similar,
        "trained_system": [text for text, found in in_trained.items() if not found],
        "instructions_from": settings.instructions_from if instructions else "nowhere",
        "counted_by": counted_by(),
        "tokens": {
            "budget": budget.tokens,
            "window": budget.window if budget.window_is_known else None,
            "kept_for_request": budget.for_request,
        },
        "rows": _counted(rows),
        "sources": [{"name": s.label, "rows": len(s.rows), "origin": s.origin} for s in sources],
        "system_messages": sum(text is not None for text in said.counts),
        "redacted": redacted,
        "settings": {
            "fixed": settings.fixed,
            "similar": settings.similar,
            "similar_tokens": settings.similar_tokens,
            "budget_tokens": settings.budget_tokens,
            "hold_out": settings.hold_out,
        },
    }
    ids = sorted({row.id for row in rows.held_out})
    files = _files(manifest, instructions, tokens, fixed, pool, fitted.similar_tokens, ids)
    left_out = sum((found for found in in_trained.values()), Counter[str]())
    held_out = b"".join(row.training_line() for row in rows.held_out)
    return Built(
        parse_pack(files),
        files,
        held_out,
        rows,
        budget,
        mean_input=sum(inputs) // len(inputs),
        mean_answer=sum(answers) // len(answers),
        systems=said,
        not_trained=left_out,
        in_instructions=in_instructions,
    )


def limited(pack: Pack, *, fixed: int, similar: int, examples: int | None = None) -> Pack:
    """Return a smaller pack of the same examples: for sweeps over sizes, and for learning curves.

    Its hash is that of its own content. Asking for more than there is asks for what there is.

    Args:
        pack: the whole.
        fixed: the first so many of its fixed examples; the others begin the pool.
        similar: up to so many similar examples in a request. Their room in tokens stays, and grows, where it is less
            than usual, by what the fixed examples leave.
        examples: only the first so many, the fixed ones before the pool's; None: all.
    """
    kept = pack.examples[:examples]
    most = min(fixed, len(pack.fixed))
    similar = min(similar, pack.similar)
    if (most, similar, len(kept)) == (len(pack.fixed), pack.similar, len(pack.examples)):
        return pack
    manifest = {key: value for key, value in pack.manifest.items() if key not in ("hash", "version")}
    manifest |= {"similar": similar, "limited_from": pack.hash}
    of_fixed = sum(example.tokens for example in pack.fixed)
    own, left = pack.prefix_tokens - of_fixed, of_fixed - sum(example.tokens for example in kept[:most])
    usual = room_for_similar([example.tokens for example in kept[most:]], similar)
    room = max(pack.similar_tokens, min(usual, pack.similar_tokens + left)) if similar else 0
    files = _files(manifest, pack.instructions, own, kept[:most], kept[most:], room, sorted(pack.held_out))
    return parse_pack(files)


def in_order(rows: Sequence[PackRow]) -> list[PackRow]:
    """Return rows in the order of choice: each adds most to what those before it cover, labels taking turns.

    Rows that say the same as another, in another order or with another answer, come last.
    """
    chosen = cover([asked_text(row.row.messages) for row in rows], labels_of(rows), len(rows))
    others = sorted(set(range(len(rows))) - set(chosen))
    return [rows[position] for position in (*chosen, *others)]


def system_messages(rows: Iterable[Any]) -> SystemMessages:
    """Count the system messages of training rows, and choose those that the fine-tune was trained with."""
    rows = list(rows)
    counts = dict(sorted(systems(rows).items(), key=lambda item: (-item[1], item[0] or "")))
    written: dict[str, Counter[str]] = {}
    for row in rows:
        if row.system is not None:
            written.setdefault(" ".join(row.system.split()), Counter())[row.system] += 1
    as_written = {text: min(ways.items(), key=lambda way: (-way[1], way[0]))[0] for text, ways in written.items()}
    commonest = next((as_written[text] for text in counts if text is not None), None)
    trained = [text for text, count in counts.items() if text is not None and count >= _TRAINED_SHARE * len(rows)]
    return SystemMessages(counts, commonest, tuple(as_written[text] for text in trained))


def _counted(rows: PackRows) -> dict[str, int]:
    return {
        "read": rows.read,
        "repeated": len(rows.repeated),
        "inputs_with_different_answers": len(rows.conflicting),
        "held_out": len(rows.held_out),
        "told_by_others": len(rows.told),
        "model_generated": sum(row.origin != "training" for row in rows.all),
    }


def _files(
    manifest: Mapping[str, Any],
    instructions: str,
    own_tokens: int,
    fixed: Sequence[PackExample],
    pool: Sequence[PackExample],
    similar_tokens: int,
    held_out: Sequence[str],
) -> dict[str, bytes]:
    """Return a pack's files; what follows from its examples is put into the manifest.

    Raises:
        ConfigError: a file would be too large.
    """
    of_fixed = sum(example.tokens for example in fixed)
    whole = {
        **manifest,
        "format": FORMAT,
        "similar_tokens": similar_tokens,
        "prefix_tokens": own_tokens + of_fixed,
        "tokens": {
            **manifest.get("tokens", {}),
            "instructions": own_tokens,
            "fixed": of_fixed,
            "pool": sum(example.tokens for example in pool),
        },
        "rows": {**manifest.get("rows", {}), "fixed": len(fixed), "pool": len(pool)},
    }
    files = {
        INSTRUCTIONS: f"{instructions}\n".encode() if instructions else b"",
        FIXED: b"".join(map(example_line, fixed)),
        POOL: b"".join(map(example_line, pool)),
        HELD_OUT: "".join(f"{id_}\n" for id_ in held_out).encode(),
    }
    for name, content in files.items():
        if len(content) > MAX_FILE_BYTES:
            raise ConfigError(f"{name} would have {len(content) / 2**20:,.0f} MiB, and may have 32: take fewer rows")
    return sealed(whole, files)
