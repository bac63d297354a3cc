"""Which route answers a tenant's callers, for whoever names a task and a tenant at a prompt."""

from gateway.config.findings import did_you_mean, quoted
from gateway.config.routes import Routes
from gateway.errors import RouteNotFound


def route_for(routes: Routes, name: str, tenant: str | None = None) -> str:
    """Return the name of the route that answers a task's callers; one without variants answers everybody's.

    Raises:
        RouteNotFound: there is no such route, or it has no variant for this tenant and nothing for others.
    """
    variant = routes.variants.get(name, {}).get(tenant or "")
    if variant is not None:
        return variant
    if name in routes.routes:
        return name
    raise RouteNotFound(no_such_route(routes, name, tenant))


def no_such_route(routes: Routes, name: str, tenant: str | None = None) -> str:
    """Say that there is no such route; of a task, what its variants are called."""
    variants = routes.variants.get(name)
    if variants is None:
        return f"There is no route {quoted(name)}{did_you_mean(name, [*routes.routes, *routes.variants]) or '.'}"
    if tenant is not None:
        return f"Route {quoted(name)} has no variant for tenant {quoted(tenant)}{did_you_mean(tenant, variants) or '.'}"
    return f"Route {quoted(name)} answers by tenant: name one of {', '.join(variants.values())}."
