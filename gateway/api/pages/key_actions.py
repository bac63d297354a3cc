"""What a person may do with keys on the pages: make one, change what it may use, have it replaced, end it.

Off unless ``GATEWAY_UI_ACTIONS`` says otherwise and there is an admin's key, as in ``actions.py``. A key's text is in
the answer to the form that made it, and nowhere else: in no address, cookie, redirect or cache.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response

from gateway.api.deps import Services, services_of
from gateway.api.pages import key_detail
from gateway.api.pages.frame import Page, PageError, Place, Said, form_of, redirect, render
from gateway.api.pages.key_detail import YAML
from gateway.api.pages.key_form import (
    GRACES,
    Did,
    KeyForm,
    WrongForm,
    callable_names,
    changed_by,
    new_key_of,
    no_such_key,
    path_of,
    why_not,
)
from gateway.config.callers import Caller, KeyRole
from gateway.config.key_text import KEY_ID, new_key, new_text
from gateway.errors import Conflict, NotFound
from gateway.store.audit import PAGE
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.keys import KeyRow, KeyStore

log = structlog.get_logger()
router = APIRouter(route_class=Page)
BY: Final = "admin"
THROUGH: Final = PAGE
COMMAND: Final = "gateway keys create forum-app --owner forum-team --route 'forum-*' --budget-month 100"


@dataclass(frozen=True, slots=True)
class NewKeyView:
    """The form of a new key, and what to type instead."""

    form: KeyForm
    routes: tuple[str, ...]
    enabled: bool
    why_not: str
    command: str


@dataclass(frozen=True, slots=True)
class MadeView:
    """A key's text, shown this once."""

    id: str
    name: str
    text: str
    is_new: bool
    old_until: datetime | None
    """Until when the one before opens, too; None: there is none, or it is refused already."""
    path: str
    role: KeyRole


@router.get("/keys/new")
async def new(request: Request) -> Response:
    """Show the form of a new key."""
    return await render(request, "key_new.html", _new_view(request, KeyForm()), "New key")


@router.post("/keys/new")
async def create(request: Request) -> Response:
    """Make a key, and show its text."""
    services, form = services_of(request), _allowed(request)
    try:
        fields = new_key_of(form)
        if fields.name in services.keeper.declared:
            raise WrongForm({"name": "is the name of a key that routes.yaml declares"})
        key_id, text = new_key()
        caller, digest = fields.caller(key_id, fields.name), _digest(services, text)
        row = await _changed(services, lambda store: store.create(caller, digest, by=BY, through=THROUGH))
    except (WrongForm, Conflict) as error:
        errors = error.errors if isinstance(error, WrongForm) else {"name": str(error)}
        view = _new_view(request, KeyForm(form, errors))
        return await render(request, "key_new.html", view, "New key", status=400, live=False)
    log.warning("key_created", key=caller.name, id=key_id, by=BY)
    return await _made(request, row, text, is_new=True)


@router.post("/keys/{key_id}/change")
async def change(key_id: str, request: Request) -> Response:
    """Change what a key may use."""
    services, form = services_of(request), _allowed(request)

    def as_typed(caller: Caller) -> Caller:
        return changed_by(form, caller)

    async def put(store: KeyStore) -> KeyRow:
        await _as_seen(store, key_id, form)
        return await store.change(key_id, as_typed, by=BY, through=THROUGH)

    try:
        row = await _settled(services, key_id, put)
    except WrongForm as error:
        view = await key_detail.read(request, key_id, KeyForm(form, error.errors))
        return await render(request, "key.html", view, f"Key {view.caller.name}", status=400, live=False)
    log.warning("key_changed", key=row.caller.name, id=key_id, by=BY)
    return redirect(f"{path_of(key_id)}?did={Did.CHANGED}#actions")


@router.post("/keys/{key_id}/rotate")
async def rotate(key_id: str, request: Request) -> Response:
    """Give a key another text, and show it."""
    services, form = services_of(request), _allowed(request)
    hours = form.get("grace", "")
    if hours not in dict(GRACES):
        raise PageError(400, Said("Not replaced", ("Say when the key before ends.",), _back(key_id)))
    _confirmed(form, key_id)
    text = new_text(key_id)
    digest, grace = _digest(services, text), timedelta(hours=int(hours))

    async def put(store: KeyStore) -> KeyRow:
        # A form that is sent once more would end the key that it has just made.
        await _as_seen(store, key_id, form)
        return await store.rotate(key_id, digest, grace=grace, by=BY, through=THROUGH)

    row = await _settled(services, key_id, put)
    log.warning("key_rotated", key=row.caller.name, id=key_id, by=BY, grace_h=int(hours))
    return await _made(request, row, text, is_new=False)


@router.post("/keys/{key_id}/revoke")
async def revoke(key_id: str, request: Request) -> Response:
    """End a key for good."""
    services, form = services_of(request), _allowed(request)
    _confirmed(form, key_id)
    row = await _settled(services, key_id, lambda store: store.revoke(key_id, by=BY, through=THROUGH))
    log.warning("key_revoked", key=row.caller.name, id=key_id, by=BY)
    return redirect(f"{path_of(key_id)}?did={Did.REVOKED}#actions")


async def _made(request: Request, row: KeyRow, text: str, *, is_new: bool) -> Response:
    caller = row.caller
    view = MadeView(caller.id, caller.name, text, is_new, row.old_until, path_of(caller.id), caller.role)
    # Not renewed by a script, which would ask for this address anew.
    return await render(request, "key_made.html", view, f"Key {caller.name}", live=False)


def _new_view(request: Request, form: KeyForm) -> NewKeyView:
    routes = callable_names(services_of(request))
    reason = why_not(request)
    return NewKeyView(form, routes, not reason, reason, COMMAND)


def _allowed(request: Request) -> Mapping[str, str]:
    if reason := why_not(request):
        raise PageError(403, Said("Off", (reason,)))
    return form_of(request)


def _confirmed(form: Mapping[str, str], key_id: str) -> None:
    if form.get("confirmed") != "yes":
        raise PageError(400, Said("Not done", ("Tick the box that says what will happen.",), _back(key_id)))


async def _as_seen(store: KeyStore, key_id: str, form: Mapping[str, str]) -> None:
    row = await store.find(key_id)
    if row is not None and str(row.version) != form.get("seen"):
        raise Conflict("It was changed meanwhile: look at it again, then decide.")


def _digest(services: Services, text: str) -> str:
    return services.keeper.ring.digest(text.encode()).hex()


async def _settled(services: Services, key_id: str, change: Callable[[KeyStore], Awaitable[KeyRow]]) -> KeyRow:
    """Change a key that there is.

    Raises:
        PageError: as ``_changed``; also where it is revoked, or was changed meanwhile.
    """
    if key_id.startswith(YAML):
        raise PageError(409, Said("Not done", ("routes.yaml declares this key: change it there.",), _back(key_id)))
    if not KEY_ID.fullmatch(key_id):
        raise no_such_key()
    try:
        return await _changed(services, change)
    except Conflict as error:
        raise PageError(409, Said("Not done", (str(error),), _back(key_id))) from None


async def _changed(services: Services, change: Callable[[KeyStore], Awaitable[KeyRow]]) -> KeyRow:
    """Change a key, and have this replica know it before anybody is told.

    Raises:
        PageError: there is no such key, or the database is away.
        Conflict: only where a new one is made: its name is taken.
    """

    async def ask(database: Database) -> KeyRow:
        return await change(KeyStore(database, services.clock))

    try:
        row = await services.pages.ask(ask)
    except DatabaseUnavailable as error:
        why = "Keys are in the database, so that every replica knows the same ones; it is away."
        raise PageError(503, Said("Not done", (why, str(error)))) from None
    except NotFound:
        raise no_such_key() from None
    try:
        await services.keeper.refresh()
    except DatabaseUnavailable as error:
        # It is changed; this replica learns of it as all the others do.
        log.warning("keys_not_read", error=str(error))
    return row


def _back(key_id: str) -> tuple[Place, ...]:
    return (Place(path_of(key_id), "that key"),)
