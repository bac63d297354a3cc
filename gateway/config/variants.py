"""A task with a model for each customer: its ``variants``, each of which becomes a route of its own."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.config.findings import Findings, quoted
from gateway.config.layers import merge, route_written_out
from gateway.config.route_names import RouteName
from gateway.config.shape import Damage
from gateway.config.yaml_source import Node

TENANT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OWN: Final = ("primary", "variants", "variant_by")
"""What a variant does not take over from its task."""
_MOST_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class Variant:
    """What one tenant has of its own, as it is written."""

    name: RouteName
    written: Node

    @property
    def path(self) -> str:
        """Where it stands in the file."""
        return f"routes.{self.name.task}.variants.{self.name.tenant}"


def variants_in(routes: Mapping[str, Node], findings: Findings, damage: Damage) -> dict[str, Variant]:
    """Return every variant of every task by its route's name; what cannot be one is reported and left out."""
    found: dict[str, Variant] = {}
    files = {name: name for name in routes}
    for task, node in routes.items():
        if not damage.has("routes", task):
            _check_words(task, node, findings)
        for variant in _variants_of(task, node, findings):
            name, at = str(variant.name), variant.written
            if first := routes.get(name):
                findings.error(at, f"{variant.path} is route {quoted(name)}, which is at {first.file}:{first.line} too")
                continue
            other = files.setdefault(variant.name.in_files, name)
            if other != name:
                findings.error(
                    at,
                    f"{variant.path}: {{route}} would stand for {quoted(variant.name.in_files)}, which is route "
                    f"{quoted(other)}: they would share their files; call one of them something else",
                )
            found[name] = variant
    return found


def by_task(variants: Iterable[Variant]) -> dict[str, dict[str, str]]:
    """Return the names of the routes that answer each tenant's callers, by task and tenant."""
    found: dict[str, dict[str, str]] = {}
    for variant in variants:
        found.setdefault(variant.name.task, {})[variant.name.tenant or ""] = str(variant.name)
    return found


def is_answerable(task: Node) -> bool:
    """Tell whether a task answers callers without a variant: where it says what its own primary is, or that it is null.

    What defaults and profiles give it, such as fallbacks, is what its variants have in common.
    """
    return "primary" in task.entries or not (task.get("variants") or Node({}, "", 0)).entries


def without_variants(task: Node) -> Node:
    """Return a task as it answers callers without a variant."""
    return Node({k: node for k, node in task.entries.items() if k not in _OWN[1:]}, task.file, task.line)


def laid_over_task(under: Node, task: Node, variant: Variant, findings: Findings) -> Node:
    """Return a variant with what it takes over: from its task, and from what is under that, but for the primary."""
    shared = Node({key: node for key, node in task.entries.items() if key not in _OWN}, task.file, task.line)
    taken_over = merge(under, shared)
    tenant = taken_over.get("tenant")
    if tenant is not None and tenant.value is not None:
        findings.error(
            tenant,
            f"routes.{variant.name.task} has `tenant` and `variants`: each variant's name is its tenant; take `tenant` "
            "out, or set it to null where it is inherited",
        )
    layered = merge(taken_over, variant.written)
    own = Node(variant.name.tenant, variant.written.file, variant.written.line)
    return Node({**layered.entries, "tenant": own}, layered.file, layered.line)


def _check_words(task: str, node: Node, findings: Findings) -> None:
    variants, by = node.get("variants"), node.get("variant_by")
    has_variants, has_by = variants is not None and bool(variants.entries), by is not None and by.value is not None
    if by is not None and has_by and not has_variants:
        findings.error(by, f"routes.{task}.variant_by chooses among variants, and there are none: write `variants`")
    if variants is not None and has_variants and not has_by:
        findings.error(variants, f"routes.{task}.variants: write `variant_by: tenant`, which says who gets which")


def _variants_of(task: str, node: Node, findings: Findings) -> Iterator[Variant]:
    variants = node.get("variants")
    for tenant, written in (variants.entries if variants else {}).items():
        name = RouteName(task, tenant)
        at = f"routes.{task}.variants: {quoted(tenant)}"
        if TENANT_NAME.fullmatch(tenant) is None:
            findings.error(
                written, f"{at} cannot be a tenant: up to 64 letters, digits, '_', '.' or '-', a letter or digit first"
            )
            continue
        if len(str(name)) > _MOST_CHARS:
            findings.error(written, f"{at} makes a route's name of more than {_MOST_CHARS} characters")
            continue
        said = written.get("tenant")
        if said is not None and said.value is not None:
            findings.error(said, f"{at} is its tenant's name already; take `tenant` out")
        yield Variant(name, route_written_out(written))
