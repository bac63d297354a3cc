"""How two packs differ: instructions line by line, examples by their ids, settings."""

import difflib
from collections import Counter
from typing import TYPE_CHECKING, Any

from gateway.cli.pack_report import one_line
from gateway.config.findings import printable
from gateway.config.packs import example_line

if TYPE_CHECKING:
    from gateway.config.packs import Pack, PackExample

_FACTS = ("route", "tenant", "similar", "similar_tokens", "prefix_tokens", "trained_system")


def difference(before: "Pack", after: "Pack") -> dict[str, Any]:
    """Return what changed, as one JSON object; only ``same`` where nothing did."""
    if before.hash == after.hash:
        return {"same": True}
    words = (before.instructions.splitlines(), after.instructions.splitlines())
    held = before.held_out ^ after.held_out
    facts = {name: [getattr(before, name), getattr(after, name)] for name in _FACTS}
    counts = {"fixed examples": [len(before.fixed), len(after.fixed)], "pool": [len(before.pool), len(after.pool)]}
    return {
        "same": False,
        "hash": [before.hash, after.hash],
        "instructions": list(difflib.unified_diff(*words, "before", "after", lineterm="")),
        "fixed": _examples(before.fixed, after.fixed),
        "pool": _examples(before.pool, after.pool),
        "order_only": _contents(before) == _contents(after) and before.examples != after.examples,
        "held_out": {"added": len(held & after.held_out), "removed": len(held & before.held_out)},
        "settings": {name: pair for name, pair in (facts | counts).items() if pair[0] != pair[1]},
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Return a difference as lines for people."""
    if found["same"]:
        return ["the same pack"]
    told = [f"{found['hash'][0]} → {found['hash'][1]}"]
    told += [printable(line) for line in found["instructions"]]
    for name, (was, is_now) in found["settings"].items():
        told.append(f"{name}: {was!r} → {is_now!r}")
    if any(found["held_out"].values()):
        told.append(f"held out: {found['held_out']['added']:,} more, {found['held_out']['removed']:,} no longer")
    for kind in ("fixed", "pool"):
        told += [f"- {kind}  {row['id']}  {row['text']}" for row in found[kind]["removed"]]
        told += [f"+ {kind}  {row['id']}  {row['text']}" for row in found[kind]["added"]]
    if found["order_only"]:
        told.append("the same examples, in another order or place")
    return told


def _contents(pack: "Pack") -> "Counter[bytes]":
    return Counter(map(example_line, pack.examples))


def _examples(before: "tuple[PackExample, ...]", after: "tuple[PackExample, ...]") -> dict[str, list[dict[str, str]]]:
    """Return examples that only one of the two has; one whose answer changed is removed and added."""
    was, is_now = Counter(map(example_line, before)), Counter(map(example_line, after))
    return {
        "added": [_row(e) for e in after if example_line(e) not in was],
        "removed": [_row(e) for e in before if example_line(e) not in is_now],
    }


def _row(example: "PackExample") -> dict[str, str]:
    return {"id": example.id, "text": one_line(example)}
