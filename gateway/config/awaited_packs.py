"""Packs that routes.yaml names by their hash: they live in the database, and are put in once they are here."""

from collections.abc import Mapping

from gateway.config.packs import Pack
from gateway.config.prompt_files import with_pack
from gateway.config.routes import Route, Routes
from gateway.errors import ConfigError


def awaited(routes: Routes) -> frozenset[str]:
    """Return the hashes of the packs that live in the database and are not here yet."""
    prompts = [target.prompt for route in routes.routes.values() for target in route.fallbacks]
    return frozenset(prompt.awaited_pack for prompt in prompts if prompt is not None and prompt.awaited_pack)


def with_packs(routes: Routes, packs: Mapping[str, Pack]) -> Routes:
    """Return a configuration with the packs that it awaits put in, as far as they are there.

    A pack goes to the route that it was built for. Other routes that share the fallback get none: what one task was
    taught is wrong for another.

    Raises:
        ConfigError: a pack holds examples of another customer than the route's.
    """
    if not packs:
        return routes
    return routes.model_copy(
        update={"routes": {name: _with_packs(route, packs) for name, route in routes.routes.items()}}
    )


def _with_packs(route: Route, packs: Mapping[str, Pack]) -> Route:
    fallbacks = []
    for target in route.fallbacks:
        prompt = target.prompt
        pack = packs.get(prompt.awaited_pack or "") if prompt is not None else None
        if prompt is not None and pack is not None:
            if pack.tenant is not None and pack.tenant != route.tenant:
                raise ConfigError(f"routes.{route.name}: pack {pack.hash} holds examples of tenant '{pack.tenant}'")
            given = with_pack(prompt, pack if pack.route == route.name else None)
            target = target.model_copy(update={"prompt": given.model_copy(update={"awaited_pack": None})})
        fallbacks.append(target)
    return route.model_copy(update={"fallbacks": tuple(fallbacks)})
