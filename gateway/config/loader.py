"""routes.yaml into ``Routes``: everything that is wrong is found in one go, each with its file and line.

The way: YAML to a tree that knows its lines (``yaml_source``), the tree held against the schema (``shape``), includes
joined, names and rules checked as written (``references``, ``rules``), then layers merged and routes built
(``assembly``). Nothing here reads the clock, the network or the environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.assembly import Assembly, Origin
from gateway.config.capability_entries import build_capabilities
from gateway.config.findings import Finding, Findings, InvalidRoutes, quoted
from gateway.config.key_entries import build_keys
from gateway.config.layers import resolve_fallbacks, route_written_out
from gateway.config.provider_entries import build_providers
from gateway.config.references import Tree, check_names, check_references, warn_of_unused
from gateway.config.routes import ModelDates, Routes
from gateway.config.routes_ledger import Ledger
from gateway.config.routes_prices import ModelPrice
from gateway.config.rules import check_rules
from gateway.config.schema import DatesEntry, IncludedFile, RoutesFile
from gateway.config.schema_ledger import LedgerEntry
from gateway.config.schema_prices import PriceEntry
from gateway.config.schema_types import Entry
from gateway.config.shape import Damage, check_shape
from gateway.config.source_files import SourceFiles, Unreadable
from gateway.config.variants import by_task, variants_in
from gateway.config.webhook_entries import build_webhooks
from gateway.config.yaml_source import Node, parse, plain


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used, and what its operator should know of it."""

    routes: Routes
    warnings: tuple[Finding, ...]
    origins: Mapping[str, Origin]
    """Route → where its values are written; ``shown.show`` reads it."""
    directories: tuple[str, ...]
    """Every directory whose change may change the configuration."""


def load(path: Path, *, environ: Mapping[str, str], instead: Mapping[Path, bytes] | None = None) -> Loaded:
    """Read routes.yaml and every file it names.

    Args:
        path: The file; all others are relative to the file that names them.
        environ: Only looked at for whether variables are set, and hold what they should; values are not kept.
        instead: Absolute path → what counts as that file's content, to see what a change would come to.

    Raises:
        InvalidRoutes: With every error, and nothing half-read.
    """
    files = SourceFiles(path, instead)
    findings = Findings(files.label(files.first))
    loaded = _load(files, environ, findings)
    errors = findings.errors()
    if errors or loaded is None:
        raise InvalidRoutes(errors, files.directories)
    return loaded


def _load(files: SourceFiles, environ: Mapping[str, str], findings: Findings) -> Loaded | None:
    damage = Damage()
    tree = _read(files, findings, damage)
    if tree is None:
        return None
    check_names(tree, findings)
    used = check_references(tree, findings)
    check_rules(tree, findings)
    assembly = Assembly(
        tree=tree,
        providers=build_providers(tree, files, environ, findings),
        fallbacks=resolve_fallbacks(tree.fallbacks, findings, damage),
        files=files,
        findings=findings,
        damage=damage,
    )
    assembly.check_fallbacks()
    built = assembly.build_all()
    lifecycle = _lifecycle(tree, findings)
    webhooks = build_webhooks(tree, files, environ, findings, damage)
    warn_of_unused(tree, used, findings)
    routes = Routes(
        config_hash=files.config_hash(),
        routes={name: route for name, (route, _) in built.items()},
        providers=assembly.providers,
        variants=by_task(tree.variants.values()),
        lifecycle=lifecycle,
        prices=_prices(tree),
        capabilities=build_capabilities(tree, findings),
        webhooks=webhooks,
        ledger=_ledger(tree),
        keys=build_keys(tree, environ, findings),
        files=files.files,
    )
    origins = {name: origin for name, (_, origin) in built.items()}
    return Loaded(routes, findings.warnings(), origins, files.directories)


def _read(files: SourceFiles, findings: Findings, damage: Damage) -> Tree | None:
    root = _read_file(files, files.first, None, findings)
    if root is None:
        return None
    declared = {name: frozenset(node.entries) for name, node in root.entries.items()}
    if not check_shape(root, RoutesFile, findings, damage):
        return None
    routes = dict(_section(root, "routes"))
    includes = root.get("include")
    seen = {files.first}
    for pattern in includes.items if includes else ():
        for path in files.matching(pattern, pattern.text or ""):
            if path not in seen:
                seen.add(path)
                _include(path, pattern, routes, files, findings, damage)
    if not routes and not findings.errors():
        findings.error(root.get("routes") or root, "there is no route")
    written = {name: route_written_out(node) for name, node in routes.items()}
    return Tree(
        providers=_section(root, "providers"),
        fallbacks=_section(root, "fallbacks"),
        profiles=_section(root, "profiles"),
        routes=written,
        variants=variants_in(written, findings, damage),
        lifecycle=_section(root, "lifecycle"),
        prices=_section(root, "prices"),
        capabilities=_section(root, "capabilities"),
        webhooks=_section(root, "webhooks"),
        keys=_section(root, "keys"),
        ledger=root.get("ledger"),
        defaults=Node(_section(root, "defaults"), root.file, root.line),
        declared={name: declared.get(name, frozenset()) for name in ("providers", "fallbacks", "profiles")},
    )


def _section(root: Node, name: str) -> dict[str, Node]:
    node = root.get(name)
    return node.entries if node else {}


def _read_file(files: SourceFiles, path: Path, named_at: Node | None, findings: Findings) -> Node | None:
    """Return a YAML file's tree; None where it cannot be read, which is reported where the file is named."""
    label = files.label(path)
    try:
        content = files.read(path)
    except Unreadable as problem:
        if named_at is None:
            findings.add(Finding(label, 1, str(problem)))
        else:
            findings.error(named_at, f"{label} {problem}")
        return None
    before = len(findings.errors())
    node = parse(content, label, findings)
    if node is None and len(findings.errors()) == before:
        findings.add(Finding(label, 1, "is empty"))
    return node


def _include(
    path: Path, named_at: Node, routes: dict[str, Node], files: SourceFiles, findings: Findings, damage: Damage
) -> None:
    root = _read_file(files, path, named_at, findings)
    if root is None or not check_shape(root, IncludedFile, findings, damage):
        return
    for name, node in _section(root, "routes").items():
        if first := routes.get(name):
            findings.error(node, f"route {quoted(name)} is already at {first.file}:{first.line}")
        else:
            routes[name] = node


def _lifecycle(tree: Tree, findings: Findings) -> dict[str, dict[str, ModelDates]]:
    dates: dict[str, dict[str, ModelDates]] = {}
    for provider, models in tree.lifecycle.items():
        dates[provider] = {}
        for model, node in models.entries.items():
            entry = ModelDates(**_entry(DatesEntry, node))
            dates[provider][model] = entry
            if entry.announced and entry.shutdown and entry.announced > entry.shutdown:
                findings.error(node, f"lifecycle.{provider}.{model}: announced is after shutdown")
    return dates


def _prices(tree: Tree) -> dict[str, dict[str, ModelPrice]]:
    return {
        provider: {model: _price(node) for model, node in models.entries.items()}
        for provider, models in tree.prices.items()
    }


def _price(node: Node) -> ModelPrice:
    return ModelPrice(**PriceEntry.model_validate(plain(node)).model_dump(exclude_none=True))


def _ledger(tree: Tree) -> Ledger:
    # `ledger:` with nothing below it is null.
    said = plain(tree.ledger) if tree.ledger is not None else None
    return Ledger() if said is None else Ledger(**LedgerEntry.model_validate(said).model_dump(exclude_none=True))


def _entry(model: type[Entry], node: Node) -> dict[str, object]:
    return dict(model.model_validate(plain(node)))
