"""Where one is in the queue of answers: what it is narrowed to, as addresses say it, and what came of the last form."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from fastapi import Request

from gateway.api.deps import services_of
from gateway.api.pages import actions
from gateway.api.pages.frame import PageError, Place, Said, visitor_of
from gateway.api.pages.review_words import NOTICES, Did
from gateway.config.findings import printable
from gateway.store.database import DatabaseUnavailable
from gateway.store.review import EVERYTHING, Chosen, Scope, Show

CAPTURED_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LONGEST_NAME: Final = 200


def scope_of(request: Request) -> Scope:
    """Return whose answers whoever asks may see: a reviewer those of the routes, and of the tenant, of the key.

    Routes that routes.yaml names no more are nobody's but whose key names neither: nothing else says whose they were.
    """
    reviewer = visitor_of(request).reviewer
    if reviewer is None or (reviewer.routes is None and reviewer.tenant is None):
        return EVERYTHING
    routes = services_of(request).pipeline.snapshot.routes.routes
    tasks = {route.variant_of or name for name, route in routes.items()}
    own = {task for task in tasks if reviewer.may_call(task)}
    found = (
        name
        for name, route in routes.items()
        if (route.variant_of or name) in own and reviewer.tenant in (None, route.tenant)
    )
    return Scope(frozenset(found), reviewer.tenant)


def why_not(request: Request) -> str:
    """Say what to set so that marks are saved; nothing where they are: a reviewer's key is given out for them."""
    return "" if visitor_of(request).reviewer is not None else actions.why_not(request)


def chosen_of(asked: Mapping[str, str]) -> Chosen:
    """Return what an address, or a form, narrows the queue to.

    Raises:
        PageError: it names no part of it.
    """
    show = asked.get("show") or Show.UNMARKED.value
    if show not in set(Show):
        raise PageError(400, Said("No such filter", (f"One of {', '.join(Show)} was expected.",)))
    route = printable(asked.get("route", "").strip()[:LONGEST_NAME])
    return Chosen(Show(show), route or None)


def place_of(asked: Mapping[str, str]) -> str | None:
    """Return the answer from which on a list goes on; None: from the newest.

    Raises:
        PageError: it names none.
    """
    before = asked.get("before", "")
    if before and not CAPTURED_ID.fullmatch(before):
        raise PageError(400, Said("No such place", ("The address names no answer to go on from.",)))
    return before or None


def queue_href(chosen: Chosen, before: str = "", **more: str) -> str:
    """Return the address of a page of the queue."""
    return _with("/ui/review", chosen, before=before, **more)


def answer_href(captured_id: str, chosen: Chosen, **more: str) -> str:
    """Return the address of one answer, within a queue."""
    return _with(f"/ui/review/{captured_id}", chosen, **more)


def notice_of(asked: Mapping[str, str], chosen: Chosen) -> tuple[str, str]:
    """Return what came of the form that led here, and where the answer is that it was about; nothing where none did."""
    did, was = asked.get("did", ""), asked.get("was", "")
    if did not in set(Did) or not CAPTURED_ID.fullmatch(was):
        return "", ""
    return NOTICES[Did(did)], answer_href(was, chosen)


def gone(chosen: Chosen, typed: str = "") -> PageError:
    """Return what is said of an answer that is not kept any more."""
    why = (
        "It has expired, or somebody wished it deleted. Nothing was saved."
        if typed
        else "It has expired, or was deleted."
    )
    sentences = (why, "What you had typed stands below, for you to copy.") if typed else (why,)
    near = (Place(queue_href(chosen), "the other answers"),)
    return PageError(410 if typed else 404, Said("This answer is not kept any more", sentences, near, typed))


def away(error: DatabaseUnavailable, typed: str = "") -> PageError:
    """Return what is said while the database cannot be asked."""
    why = (
        "Answers are in the database; it is away. Nothing was saved."
        if typed
        else "Answers are in the database; it is away."
    )
    return PageError(503, Said("Not now", (why, str(error)), (), typed))


def _with(path: str, chosen: Chosen, **more: str) -> str:
    said = {"route": chosen.route or "", "show": chosen.show.value if chosen.show is not Show.UNMARKED else "", **more}
    said = {name: value for name, value in said.items() if value}
    return f"{path}?{urlencode(said)}" if said else path
