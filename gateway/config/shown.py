"""Every effective value of a route, and where it is written: ``gateway config show ROUTE``."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.config.assembly import FALLBACK_ON
from gateway.config.layers import without_nulls
from gateway.config.loader import Loaded
from gateway.config.route_names import RouteName
from gateway.config.routes import Target
from gateway.config.tenants import no_such_route
from gateway.config.yaml_source import Node, plain
from gateway.errors import RouteNotFound

_PATH_KEYS = {"contract", "instructions_file", "examples_file", "pack", "file"}


@dataclass(frozen=True, slots=True)
class ShownValue:
    """One value: its path in the route, and ``file:line``, or ``default`` where nobody wrote it."""

    path: str
    value: object
    origin: str


def show(loaded: Loaded, route_name: str) -> list[ShownValue]:
    """Return the route's values in a fixed order: primary, fallbacks with their prompts, then its limits and the rest.

    Raises:
        RouteNotFound: There is no such route.
    """
    route = loaded.routes.routes.get(route_name)
    if route is None:
        raise RouteNotFound(no_such_route(loaded.routes, route_name))
    origin = loaded.origins[route_name]
    name = origin.name
    shown: dict[str, ShownValue] = {}
    if route.primary is None:
        _add(shown, "primary", origin.route.get("primary"), name, default=None)
    else:
        provider = origin.route.get("primary", "provider") or origin.route.get("provider")
        _add_target(shown, "primary", route.primary, without_nulls(origin.route.entries["primary"]), provider, name)
    _add(shown, "fallbacks", origin.route.get("fallbacks"), name, default=[])
    for target in route.fallbacks:
        node = without_nulls(origin.fallbacks[target.name])
        _add_target(shown, f"fallbacks.{target.name}", target, node, node.get("provider"), name)
    _add(shown, "fallback_on", origin.route.get("fallback_on"), name, default=list(FALLBACK_ON))
    for group in (route.timeouts, route.cutover, route.slo):
        section = type(group).__name__.lower()
        for key, value in group:
            _add(shown, f"{section}.{key}", origin.route.get(section, key), name, default=value)
    learning = ("tenant", "capture", "rehearsal", "acceptance")
    for key in ("profile", "owner", "contract", "residency", "training", *learning):
        _add(shown, key, origin.route.get(key), name, default=None)
    return list(shown.values())


def _add_target(
    shown: dict[str, ShownValue], path: str, target: Target, node: Node, provider: Node | None, route: RouteName
) -> None:
    _add(shown, f"{path}.provider", provider, route, default=target.provider.name)
    model = node.entries["model"]
    _add(shown, f"{path}.model", model, route, default=None)
    # A base that nobody wrote was read from the model's id: that is where it comes from.
    shown[f"{path}.base"] = ShownValue(
        f"{path}.base", target.base, _origin(node.get("base") or (model if target.base else None))
    )
    for key in ("prompt", "parameters"):
        if inner := node.get(key):
            _add(shown, f"{path}.{key}", inner, route, default=None)
    if target.prompt:
        _add(shown, f"{path}.prompt.caller_system", node.get("prompt", "caller_system"), route, default="keep")


def _add(shown: dict[str, ShownValue], path: str, node: Node | None, route: RouteName, *, default: object) -> None:
    if node is None or node.value is None:
        shown[path] = ShownValue(path, default, _origin(node))
        return
    for leaf_path, leaf in _leaves(path, without_nulls(node)):
        value = plain(leaf)
        if isinstance(value, str) and leaf_path.rpartition(".")[2] in _PATH_KEYS:
            value = route.filled_in(value)
        shown[leaf_path] = ShownValue(leaf_path, value, _origin(leaf))


def _leaves(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    if not node.entries:
        yield path, node
    for key, inner in node.entries.items():
        yield from _leaves(f"{path}.{key}", inner)


def _origin(node: Node | None) -> str:
    return f"{node.file}:{node.line}" if node else "default"
