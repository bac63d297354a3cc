"""Where one is in the queue of answers: what it is narrowed to, as addresses say it, and what came of the last form."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from gateway.api.pages.frame import PageError, Place, Said
from gateway.api.pages.review_words import NOTICES, Did
from gateway.config.findings import printable
from gateway.store.database import DatabaseUnavailable
from gateway.store.review import Chosen, Show

CAPTURED_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LONGEST_NAME: Final = 200


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
