"""Where data may be kept. Pure."""

from collections.abc import Iterator

from gateway.config.routes import Routes


def may_hold(provider_residency: str | None, wanted: str | None) -> bool:
    """Tell whether a provider may see data that is to stay somewhere; None: it may go anywhere."""
    return wanted is None or provider_residency == wanted


def gaps(routes: Routes, wanted: str | None) -> Iterator[str]:
    """Say of each route what a key that wants its data kept somewhere cannot have of it."""
    for route in routes.routes.values():
        able = [target for target in route.targets if may_hold(target.provider.residency, wanted)]
        if not able:
            yield f"route {route.name!r} has no target in {wanted!r}: the key's requests to it are refused"
        elif route.fallbacks and not any(target in able for target in route.fallbacks):
            yield f"route {route.name!r} has no fallback in {wanted!r}: the key's requests to it end with its primary"
        elif route.primary is not None and route.primary not in able:
            yield f"the primary of route {route.name!r} is not in {wanted!r}: the key's requests go to its fallback"
