"""Layers of routes.yaml laid over each other: maps merge, lists replace, null removes."""

from collections.abc import Mapping

from gateway.config.findings import Findings
from gateway.config.shape import Damage
from gateway.config.yaml_source import Node


def merge(under: Node, over: Node) -> Node:
    """Lay one tree over another; each value keeps its own position."""
    if not isinstance(under.value, dict) or not isinstance(over.value, dict):
        return over
    merged = dict(under.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, over.file, over.line)


def without_nulls(node: Node) -> Node:
    """Return the tree without the map entries that null removed."""
    if not isinstance(node.value, dict):
        return node
    kept = {key: without_nulls(value) for key, value in node.value.items() if value.value is not None}
    return Node(kept, node.file, node.line)


def written_out(node: Node, key: str) -> Node:
    """Return the mapping that a one-string form stands for."""
    return Node({key: node}, node.file, node.line) if isinstance(node.value, str) else node


def route_written_out(node: Node) -> Node:
    """Return a route as a mapping, with its primary as a mapping."""
    route = written_out(node, "primary")
    primary = route.get("primary")
    if primary is None or primary.text is None:
        return route
    return Node({**route.entries, "primary": written_out(primary, "model")}, route.file, route.line)


def resolve_fallbacks(written: Mapping[str, Node], findings: Findings, damage: Damage) -> dict[str, Node]:
    """Return every fallback with what it takes over from others; those on a cycle are reported and left as they are."""
    resolved: dict[str, Node] = {}
    for start in written:
        chain: dict[str, None] = {}
        name: str | None = start
        while name is not None and name in written and name not in resolved and name not in chain:
            chain[name] = None
            name = _parent_of(written[name])
        if name in chain:
            members = list(chain)
            _report_cycle(members[members.index(name) :], written, findings)
            for member in chain:
                damage.add("fallbacks", member)
                resolved[member] = _own(written[member])
            continue
        for child in reversed(chain):
            own = _own(written[child])
            parent = _parent_of(written[child])
            inherited = resolved.get(parent) if parent else None
            if parent and (inherited is None or damage.has("fallbacks", parent)):
                damage.add("fallbacks", child)
            resolved[child] = merge(inherited, own) if inherited else own
    return resolved


def _parent_of(fallback: Node) -> str | None:
    extends = fallback.get("extends")
    return extends.text if extends else None


def _own(fallback: Node) -> Node:
    entries = {key: value for key, value in fallback.entries.items() if key != "extends"}
    return Node(entries, fallback.file, fallback.line)


def _report_cycle(members: list[str], written: Mapping[str, Node], findings: Findings) -> None:
    at = written[members[0]].get("extends") or written[members[0]]
    if len(members) == 1:
        findings.error(at, f"fallbacks.{members[0]} extends itself")
    else:
        findings.error(at, f"fallbacks extend each other in a circle: {' → '.join([*members, members[0]])}")
