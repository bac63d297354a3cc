"""Which routes a caller may call, and which of a task's variants answers it."""

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from gateway.config.callers import Caller, KeyRole
from gateway.config.routes import Route, Routes
from gateway.errors import NoVariant, RouteNotFound

if TYPE_CHECKING:
    from gateway.execution.prepared import PreparedRoute

_MOST_LISTED: Final = 10
_MOST_MATCHED: Final = 100_000


class CallableRoutes:
    """The routes of one configuration, as each caller sees them."""

    def __init__(self, routes: Routes, prepared: "Mapping[str, PreparedRoute]") -> None:
        self._variants = routes.variants
        self._prepared = prepared
        self._matched: dict[tuple[tuple[str, ...], str], bool] = {}
        """Whether patterns of a key name a task."""
        self._names = [*prepared, *(task for task in routes.variants if task not in prepared)]

    def find(self, name: str, caller: Caller) -> "PreparedRoute":
        """Return the route that answers a caller who names this one.

        Raises:
            RouteNotFound: there is none that it may call; the message names the nearest.
            NoVariant: it answers by tenant, and not to this caller's.
        """
        found = self._find(name, caller)
        if found is None:
            raise RouteNotFound(self._no_such_route(name[:100], caller), param="model")
        return found

    def of(self, caller: Caller) -> "Iterator[tuple[str, PreparedRoute]]":
        """Yield what a caller may write as ``model``, each with the route that would answer.

        To a tenant's caller a variant is its task; by their own names only whoever may call them all sees variants.
        """
        for name in self._names:
            try:
                found = self._find(name, caller)
            except NoVariant:
                continue
            is_variants_own_name = found is not None and found.route.variant_of is not None and found.route.name == name
            if found is not None and (not is_variants_own_name or speaks_for_all(caller)):
                yield name, found

    def _find(self, name: str, caller: Caller) -> "PreparedRoute | None":
        prepared, variants = self._prepared.get(name), self._variants.get(name)
        if prepared is None and variants is None:
            return None
        task = prepared.route.variant_of if prepared is not None else None
        if caller.routes is not None and not self._may_call(caller, caller.routes, task or name):
            return None
        if variants is None:
            return prepared if prepared is not None and answers(prepared.route, caller) else None
        own = variants.get(caller.tenant or "")
        if own is not None:
            return self._prepared[own]
        if prepared is None:
            raise NoVariant(self._no_variant(name, variants, caller), param="model")
        return prepared

    def _may_call(self, caller: Caller, patterns: tuple[str, ...], task: str) -> bool:
        known = self._matched.get((patterns, task))
        if known is None:
            if len(self._matched) >= _MOST_MATCHED:
                self._matched.clear()
            # A hundred patterns would take a hundred microseconds of each request.
            known = self._matched[patterns, task] = caller.may_call(task)
        return known

    @staticmethod
    def _no_variant(task: str, variants: Mapping[str, str], caller: Caller) -> str:
        if speaks_for_all(caller):
            listed = ", ".join(list(variants.values())[:_MOST_LISTED])
            return f"Route {task!r} answers by the tenant of the caller's key; without one, name a variant: {listed}."
        why = "has no variant for the tenant of this key" if caller.tenant else "this key names no tenant"
        return f"Route {task!r} answers by the tenant of the caller's key, and {why}."

    def _no_such_route(self, name: str, caller: Caller) -> str:
        near = difflib.get_close_matches(name, [known for known, _ in self.of(caller)], n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models lists the routes."
        may = " that this key may call" if caller.id else ""
        return f"There is no route {name!r}{may}; 'model' names a route of this gateway.{hint}"


def answers(route: Route, caller: Caller) -> bool:
    """Tell whether a route's data may be a caller's: its tenant's, or nobody's in particular.

    A variant is its tenant's alone; a route of its own that names a tenant is refused to other tenants' keys.
    """
    if route.tenant is None or caller.tenant == route.tenant or speaks_for_all(caller):
        return True
    return route.variant_of is None and caller.tenant is None


def speaks_for_all(caller: Caller) -> bool:
    """Tell whether a caller is nobody's in particular and everybody's.

    So are an administrator, whoever needs no key, and a reviewer whom no tag keeps to one tenant.
    """
    if caller.role is KeyRole.REVIEWER:
        return caller.tenant is None
    return caller.role is KeyRole.ADMIN or not caller.id
