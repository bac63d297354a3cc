"""The templates of pages: everything that is put into one is escaped, and a name that is nothing is an error."""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gateway.api.pages import words
from gateway.api.pages.static_files import DIRECTORY, address

if TYPE_CHECKING:
    from jinja2 import Environment


def written(template: str, view: object, frame: object) -> str:
    """Return what a file of ``templates/`` makes of a view and what is around it, which knows what time it is."""
    return _environment().get_template(template).render(view=view, frame=frame)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context

    templates = DIRECTORY.parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(templates), autoescape=True, undefined=StrictUndefined, auto_reload=False
    )
    environment.filters.update(words.FILTERS)

    def of_now(write: Callable[[Any, datetime], str]) -> Callable[..., str]:
        @pass_context
        def filtered(context: Any, value: Any) -> str:
            return write(value, context["frame"].now)

        return filtered

    environment.filters.update({name: of_now(write) for name, write in words.FILTERS_OF_NOW.items()})
    environment.filters["urlencode"] = lambda text: quote(str(text), safe="")
    environment.globals["static"] = address
    return environment
