"""Packs in force that are no longer where routes.yaml names them: never replaced by nothing."""

from collections.abc import Iterator

from gateway.config.findings import Finding, InvalidRoutes
from gateway.config.loader import Loaded
from gateway.config.routes import Routes


def refuse_lost_packs(loaded: Loaded, in_force: Routes) -> None:
    """Hold a new configuration against the one in force.

    A directory without a pack is a warning at the start, since it may not be built yet. Where a pack is in force, it
    was moved, or its volume is away, and the fallback would answer without its examples.

    Raises:
        InvalidRoutes: a fallback of a route has a pack in force, still names one, and has none.
    """
    if lost := tuple(_lost(loaded, in_force)):
        raise InvalidRoutes(lost, loaded.directories)


def _lost(loaded: Loaded, in_force: Routes) -> Iterator[Finding]:
    had = {
        (route.name, target.name)
        for route in in_force.routes.values()
        for target in route.fallbacks
        if target.prompt is not None and target.prompt.pack is not None
    }
    for route in loaded.routes.routes.values():
        for target in route.fallbacks:
            missing = target.prompt.missing_pack if target.prompt is not None else None
            if missing is not None and (route.name, target.name) in had:
                fallback = loaded.origins[route.name].fallbacks[target.name]
                at = fallback.get("prompt", "pack") or fallback
                yield Finding(
                    at.file,
                    at.line,
                    f"routes.{route.name}: the pack of fallback '{target.name}' is in force, and there is none at "
                    f"{missing} any more: put it back, or take `pack` out of the fallback's prompt, or have the route "
                    "name another fallback",
                )
