"""The ops page at ``/ui``: who answers right now, and is that what we meant?

One module a view: it reads frozen data, and a template of the same name writes them. ``frame.py`` is around all.
"""

from typing import Final

from fastapi import APIRouter

from gateway.api.pages import (
    actions,
    calendar_view,
    cost_view,
    key_actions,
    key_detail,
    keys_view,
    login,
    requests_view,
    review_actions,
    review_detail,
    review_view,
    route_detail,
    routes_view,
)

HOME: Final = "/ui"
router = APIRouter(include_in_schema=False)
_VIEWS: Final = (
    login.door,
    login.inside,
    routes_view.router,
    route_detail.router,
    calendar_view.router,
    cost_view.router,
    actions.router,
    requests_view.router,
    review_view.router,
    review_detail.router,
    review_actions.router,
    keys_view.router,
    key_actions.router,
    key_detail.router,
    login.nowhere,
)
"""The last one knows every path, and so stands behind all others."""
for _views in _VIEWS:
    router.include_router(_views, prefix=HOME)


def is_page(path: str) -> bool:
    """Tell whether a path is one of the pages', which have a check of their own."""
    return path == HOME or path.startswith(f"{HOME}/")
