"""Configurations for tests: ordinary but for what a test says."""

from typing import Any

from gateway.config.routes import Provider, Route, Routes, Target
from gateway.reasons import Role

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
BASE = "gpt-4o-mini-2024-07-18"
DEFAULT_FALLBACK_ON = frozenset(("gone", "no_access", "connection", "timeout", "overloaded", "server_error"))


def a_provider(**fields: Any) -> Provider:
    return Provider(**{"name": "here", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"} | fields)


def a_primary(**fields: Any) -> Target:
    given = {"name": "primary", "role": Role.PRIMARY, "provider": a_provider(), "model": FINE_TUNE, "base": BASE}
    return Target(**given | fields)


def a_fallback(name: str = "luna", **fields: Any) -> Target:
    given = {"name": name, "role": Role.FALLBACK, "provider": a_provider(), "model": f"model-of-{name}"}
    return Target(**given | fields)


def a_route(**fields: Any) -> Route:
    given = {
        "name": "forum-reply",
        "primary": a_primary(),
        "fallbacks": (a_fallback(),),
        "fallback_on": DEFAULT_FALLBACK_ON,
    }
    return Route(**given | fields)


def some_routes(*routes: Route, **fields: Any) -> Routes:
    """Return a configuration of these routes, with the providers that their targets name."""
    chosen = routes or (a_route(),)
    providers = {target.provider.name: target.provider for route in chosen for target in route.targets}
    given = {"config_hash": "0123456789ab", "routes": {route.name: route for route in chosen}, "providers": providers}
    return Routes(**given | fields)
