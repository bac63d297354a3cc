"""Where data may be kept. Pure."""

from collections.abc import Iterable, Iterator

from gateway.config.callers import Caller
from gateway.config.routes import Route, Routes


def may_hold(provider_residency: str | None, wanted: str | None) -> bool:
    """Tell whether a provider may see data that is to stay somewhere; None: it may go anywhere."""
    return wanted is None or provider_residency == wanted


def gaps(routes: Routes, callers: Iterable[Caller]) -> Iterator[str]:
    """Say of each route what keys that want their data kept somewhere cannot have of it, though they may call it."""
    # There may be thousands of keys, and few sorts of them.
    alike: dict[str, dict[tuple[str, ...] | None, dict[str, Caller]]] = {}
    for caller in callers:
        if caller.residency is not None:
            alike.setdefault(caller.residency, {}).setdefault(caller.routes, {})[caller.name] = caller
    for wanted, sorts in sorted(alike.items()):
        for route in routes.routes.values():
            task = route.variant_of or route.name
            able = [named for named in sorts.values() if next(iter(named.values())).may_call(task)]
            count = sum(map(len, able))
            whose = f"key {next(iter(able[0]))!r}" if count == 1 else f"{count} keys"
            if count and (gap := _gap(route, wanted, whose)) is not None:
                yield gap


def _gap(route: Route, wanted: str, whose: str) -> str | None:
    name, able = repr(route.name), [t for t in route.line_up if may_hold(t.provider.residency, wanted)]
    if not able:
        said = f"route {name} has no target in {wanted!r}: requests of {whose} to it are refused"
    elif route.fallbacks and not any(target in able for target in route.fallbacks):
        said = f"route {name} has no fallback in {wanted!r}: requests of {whose} to it end with its primary"
    elif route.primary is not None and route.primary not in able:
        said = f"the primary of route {name} is not in {wanted!r}: requests of {whose} go to its fallback"
    else:
        said = None
    return said
