"""What a built pack amounts to, in figures and sentences: the same in a terminal and in JSON."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.findings import printable
from gateway.learning.packs.budget import CACHEABLE, request_cost
from gateway.learning.packs.checks import in_words
from gateway.learning.packs.rows import FEWEST_TO_HOLD_OUT

if TYPE_CHECKING:
    from gateway.config.packs import PackExample
    from gateway.config.routes import Target
    from gateway.learning.packs.building import Built
    from gateway.policy.pricing import Price

_SHOWN = 5
_QUICK_POOL = 2_000
"""Up to so many examples the similar ones are found within a millisecond."""
_NANO = 10**9


def report(built: "Built", out: Path, held_out: Path, target: "Target | None", price: "Price | None") -> dict[str, Any]:
    """Return the figures of a pack that was built, with its notes, as one JSON object."""
    pack, budget = built.pack, built.budget
    tokens = dict(pack.manifest["tokens"]) | {"prefix": pack.prefix_tokens, "similar_at_most": pack.similar_tokens}
    whole = pack.prefix_tokens + pack.similar_tokens
    return {
        "route": pack.route,
        "tenant": pack.tenant,
        "hash": pack.hash,
        "version": pack.version,
        "directory": str(out),
        "held_out_file": str(held_out) if pack.held_out else None,
        "target": f"{target.provider.name}/{target.model}" if target is not None else None,
        "instructions_from": pack.manifest["instructions_from"],
        "rows": pack.manifest["rows"],
        "tokens": tokens,
        "counted_by": pack.manifest["counted_by"],
        "share_of_window": round(whole / budget.window, 4),
        "redacted": pack.manifest["redacted"],
        "system_messages": list(built.systems.counts.values()),
        "caching": _caching(built),
        "usd_per_1000_requests": _costs(built, price),
        "notes": _notes(built),
    }


def _caching(built: "Built") -> dict[str, Any]:
    pack = built.pack
    lacking = max(0, CACHEABLE - pack.prefix_tokens)
    mean = _mean([example.tokens for example in pack.examples])
    more = -(-lacking // mean) if lacking and mean else None
    return {"helps": not lacking, "tokens_lacking": lacking, "examples_lacking": more}


def _costs(built: "Built", price: "Price | None") -> dict[str, str] | None:
    """Say what a thousand requests cost of the rows' mean length; None: the target is unpriced."""
    if price is None:
        return None
    pack = built.pack
    similar = min(pack.similar_tokens, pack.similar * _mean([example.tokens for example in pack.pool]))
    cost = request_cost(price, pack.prefix_tokens, similar + built.mean_input, built.mean_answer)
    of_thousand = {"cold": cost.cold, "warm": cost.warm}
    return {name: f"{Decimal(nano * 1000) / _NANO:.2f}" for name, nano in of_thousand.items()} | {
        "price": price.version
    }


def _notes(built: "Built") -> list[str]:
    """Say what its owner should know, most of it of the rows."""
    return [*_of_rows(built), *_of_system_messages(built), *_of_sizes(built)]


def _of_rows(built: "Built") -> list[str]:
    rows, notes = built.rows, []
    if rows.repeated:
        pairs = [f"{again} = {first}" for again, first in rows.repeated]
        notes.append(f"rows that say what another says, dropped: {len(pairs):,} ({_some(pairs)})")
    if rows.conflicting:
        groups = [" and ".join(group) for group in rows.conflicting]
        notes.append(f"inputs with different answers, which all stay: {len(groups):,} ({_some(groups)})")
    if rows.told:
        places = [row.where for row in rows.told]
        notes.append(
            "rows that were to be held out, left out altogether, since an example gives the same answer to the same "
            f"question: {len(places):,} ({_some(places)})"
        )
    elif not rows.held_out:
        notes.append(
            f"no row is held out, since fewer than {FEWEST_TO_HOLD_OUT} conversations begin differently: "
            "evaluate with recordings of other inputs"
            if built.pack.manifest["settings"]["hold_out"]
            else "no row is held out: evaluate with recordings of other inputs"
        )
    if generated := built.pack.manifest["rows"]["model_generated"]:
        notes.append(
            f"rows that a model wrote (recorded): {generated:,}; its provider's terms may forbid training other models "
            "on them"
        )
    return notes


def _of_system_messages(built: "Built") -> list[str]:
    counts, notes = built.systems.counts, []
    total = sum(counts.values())
    different = [count for text, count in counts.items() if text is not None]
    if len(different) > 1:
        shares = _some([f"{count:,}" for count in different])
        notes.append(
            f"the rows have {len(different):,} different system messages ({shares} of {total:,} rows); "
            f"{len(built.systems.trained)} of them in a fifth of the rows or more"
        )
    if counts.get(None):
        notes.append(f"rows without a system message: {counts[None]:,} of {total:,}")
    if not built.pack.instructions:
        notes.append("there are no instructions: write some, and name them with --instructions")
    if built.in_instructions:
        notes.append(f"the instructions hold {in_words(built.in_instructions)}, which stays: is it meant?")
    if built.not_trained:
        notes.append(
            f"a system message of the training holds {in_words(built.not_trained)}: it is left out of trained_system, "
            "and replace_if_trained will not know it"
        )
    return notes


def _of_sizes(built: "Built") -> list[str]:
    pack, budget, notes = built.pack, built.budget, []
    asked = pack.manifest["settings"]
    if not budget.window_is_known:
        notes.append(f"the target's context window is not known: taken to be {budget.window:,} tokens")
    if asked["budget_tokens"] is not None and asked["budget_tokens"] > budget.tokens:
        notes.append(f"the budget is {budget.tokens:,} tokens: more does not fit beside the longest row")
    if len(pack.fixed) < asked["fixed"]:
        why = "the budget holds no more" if pack.pool else "there are no more"
        notes.append(f"{len(pack.fixed):,} fixed examples instead of {asked['fixed']:,}: {why}")
    if asked["similar_tokens"] is not None and pack.similar_tokens < asked["similar_tokens"]:
        notes.append(f"similar examples have {pack.similar_tokens:,} tokens: the budget leaves no more")
    too_long = sum(example.tokens > pack.similar_tokens for example in pack.pool) if pack.similar else 0
    if too_long:
        notes.append(
            f"examples of the pool that are longer than the room for similar ones, and never sent: {too_long:,}"
        )
    if pack.similar and len(pack.pool) > _QUICK_POOL:
        notes.append(f"the pool has more than {_QUICK_POOL:,} examples: finding similar ones takes over a millisecond")
    return notes


def lines(told: Mapping[str, Any]) -> list[str]:
    """Return a report, with how routes.yaml names the pack (``reference``), as lines for people."""
    rows, tokens, caching, cost = (told[key] for key in ("rows", "tokens", "caching", "usd_per_1000_requests"))
    dropped = rows["repeated"] + rows["told_by_others"]
    window = f"{told['share_of_window']:.1%} of the window of {told['target'] or 'the target'} at most"
    facts = [
        ("rows", f"{rows['read']:,} read, {dropped:,} dropped, {rows['held_out']:,} held out"),
        ("examples", f"{rows['fixed']:,} fixed, {rows['pool']:,} in the pool"),
        ("instructions", f"{tokens['instructions']:,} tokens, from {told['instructions_from']}"),
        ("prefix", f"{tokens['prefix']:,} tokens, {tokens['fixed']:,} of them fixed examples"),
        ("similar", f"{tokens['similar_at_most']:,} tokens at most; {window}"),
        ("redacted", ", ".join(f"{count:,} × {kind}" for kind, count in told["redacted"].items()) or "nothing found"),
        ("counted by", told["counted_by"]),
        ("caching", _caching_line(caching)),
        ("cost", _cost_line(cost, told["target"])),
    ]
    fallback = [f"held out: {told['held_out_file']} (customers' text: not for git)"] if told["held_out_file"] else []
    return [
        f"{told['directory']}: pack {told['version']} of route {told['route']}",
        *(f"  {name:<13} {text}" for name, text in facts),
        *(f"  note: {printable(note)}" for note in told["notes"]),
        "",
        told["hash"],
        *fallback,
        f'use it in routes.yaml, under the fallback:  prompt: {{pack: "{told["reference"]}"}}',
        "It holds customers' text: look through it, and have it reviewed in git like code. `gateway pack show` helps.",
    ]


def _caching_line(caching: Mapping[str, Any]) -> str:
    if caching["helps"]:
        return f"the prefix has {CACHEABLE:,} tokens or more: providers can cache it"
    more = caching["examples_lacking"]
    said = f"; {more:,} more fixed examples would reach that" if more else ""
    return f"cannot help: providers keep prefixes from {CACHEABLE:,} equal tokens{said}"


def _cost_line(cost: Mapping[str, str] | None, target: str | None) -> str:
    if cost is None:
        return f"{target or 'no fallback'} is unpriced: name its price under prices in routes.yaml"
    return (
        f"${cost['cold']} cold, ${cost['warm']} warm (prefix cached) a 1,000 requests of mean length; {cost['price']}"
    )


def example_lines(kind: str, examples: "Sequence[PackExample]", most: int) -> list[str]:
    """Return a line for each of the first examples: id, tokens, what is asked, and the answer."""
    shown = [f"  {kind}  {e.id}  {e.tokens:>6,}  {one_line(e)}" for e in examples[:most]]
    left = len(examples) - len(shown)
    return [*shown, f"  and {left:,} more {kind} examples"] if left else shown


def one_line(example: "PackExample") -> str:
    """Return what an example asks last, and its answer, cut to one line."""
    asked = next((m for m in reversed(example.messages[:-1]) if m["role"] == "user"), example.messages[0])
    return f"{_brief(asked)} → {_brief(example.messages[-1])}"


def _brief(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = " ".join(str(part.get("text") or f"[{part.get('type')}]") for part in content)
    calls = [call.get("function", {}).get("name", "?") for call in message.get("tool_calls") or ()]
    text = printable(" ".join(str(content or "").split())) or ", ".join(f"{name}(…)" for name in calls)
    return text if len(text) <= 70 else f"{text[:69]}…"


def _some(items: Sequence[str]) -> str:
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _mean(values: Sequence[int]) -> int:
    return sum(values) // len(values) if values else 0
