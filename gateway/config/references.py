"""Names in routes.yaml: whether each may be one, and whether each that is referred to exists."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.config.findings import Findings, did_you_mean, quoted
from gateway.config.variants import Variant
from gateway.config.yaml_source import Node

_SINGULAR = {
    "providers": "provider",
    "fallbacks": "fallback",
    "profiles": "profile",
    "routes": "route",
    "webhooks": "webhook",
}
_FORBIDDEN = re.compile("[\x00-\x20\x7f-\xa0\u2028\u2029@]|\\s")
_PINS = re.compile(r"primary|fallback|[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Tree:
    """The sections of one configuration, includes merged in, routes and primaries written out as mappings."""

    providers: Mapping[str, Node]
    fallbacks: Mapping[str, Node]
    profiles: Mapping[str, Node]
    routes: Mapping[str, Node]
    lifecycle: Mapping[str, Node]
    prices: Mapping[str, Node]
    capabilities: Mapping[str, Node]
    webhooks: Mapping[str, Node]
    keys: Mapping[str, Node]
    ledger: Node | None
    defaults: Node
    variants: Mapping[str, Variant]
    """By the names of the routes that they become."""
    declared: Mapping[str, frozenset[str]]
    """Section → the names written there, also those that turned out to be unusable."""

    def layers(self) -> dict[str, Node]:
        """Return everything with a route's keys, by its path in the file."""
        return {
            "defaults": self.defaults,
            **{f"profiles.{name}": node for name, node in self.profiles.items()},
            **{f"routes.{name}": node for name, node in self.routes.items()},
            **{variant.path: variant.written for variant in self.variants.values()},
        }


def check_names(tree: Tree, findings: Findings) -> None:
    """Report names that could not be told apart in ``model``, in a pin, in a path or in a label."""
    for section in ("providers", "fallbacks", "profiles", "routes", "webhooks"):
        for name, node in getattr(tree, section).items():
            problem = _name_problem(name)
            if section == "fallbacks" and _PINS.fullmatch(name):
                problem = "is what pins like ROUTE@primary are made of"
            if problem:
                findings.error(node, f"{_SINGULAR[section]} name {quoted(name)} {problem}")


def _name_problem(name: str) -> str | None:
    if not name:
        return "is empty"
    if len(name) > 100:
        return "is longer than 100 characters"
    if _FORBIDDEN.search(name):
        return "holds whitespace, a control character or @"
    if name.startswith("/") or ".." in name.split("/"):
        return "must not start with / or climb with .."
    return None


@dataclass(slots=True)
class _References:
    tree: Tree
    findings: Findings
    used: set[tuple[str, str]] = field(default_factory=set)

    def refer(self, subject: str, node: Node | None, section: str) -> None:
        if node is None or node.text is None:
            return
        self.used.add((section, node.text))
        known = self.tree.declared[section]
        if node.text not in known:
            what = _SINGULAR[section]
            self.findings.error(
                node, f"{subject}: there is no {what} {quoted(node.text)}{did_you_mean(node.text, known)}"
            )


def check_references(tree: Tree, findings: Findings) -> set[tuple[str, str]]:
    """Report references to what does not exist, and return all that are made, as (section, name)."""
    references = _References(tree, findings)
    for path, node in tree.layers().items():
        references.refer(path, node.get("provider"), "providers")
        references.refer(path, node.get("profile"), "profiles")
        references.refer(f"{path}.primary", node.get("primary", "provider"), "providers")
        listed = node.get("fallbacks")
        for item in listed.items if listed else ():
            references.refer(path, item, "fallbacks")
    for name, node in tree.fallbacks.items():
        references.refer(f"fallbacks.{name}", node.get("provider"), "providers")
        references.refer(f"fallbacks.{name}", node.get("extends"), "fallbacks")
    used = set(references.used)
    # Dates, prices and capabilities of a provider's models do not put it to use.
    for section in ("lifecycle", "prices", "capabilities"):
        for name, node in getattr(tree, section).items():
            references.refer(section, Node(name, node.file, node.line), "providers")
    return used


def warn_of_unused(tree: Tree, used: set[tuple[str, str]], findings: Findings) -> None:
    """Warn of providers, fallbacks and profiles that nothing refers to."""
    for section in ("providers", "fallbacks", "profiles"):
        for name, node in getattr(tree, section).items():
            if (section, name) not in used:
                findings.warning(node, f"{_SINGULAR[section]} {quoted(name)} is not used")
