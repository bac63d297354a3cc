"""``/admin``: keys made, changed and ended by an administrator, and the trail of what administrators did."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import structlog
from fastapi import APIRouter, Body, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from gateway.api.admin_door import AdminRoute
from gateway.api.admin_models import (
    ChangeList,
    KeyList,
    KeyMade,
    KeyView,
)
from gateway.api.deps import Services, caller_of, services_of
from gateway.api.pages.data import Ask
from gateway.config.callers import Caller
from gateway.config.key_fields import KeyChanges, NewKey, problems
from gateway.config.key_text import new_key, new_text
from gateway.errors import Conflict, DatabaseAway, InvalidRequest, NotFound
from gateway.store.audit import API, AuditStore
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.keys import KeyRow, KeyStore
from gateway.store.shown_keys import shown, shown_change, shown_declared
from gateway.store.standings import Standing, Standings

log = structlog.get_logger()
MOST_KEYS: Final = 1_000
MOST_CHANGES: Final = 500
REFRESH_S: Final = 5.0
LONGEST_GRACE_S: Final = 30 * 24 * 3600
NO_PEPPER: Final = (
    "This gateway has no GATEWAY_KEY_PEPPER, so no other keys count than GATEWAY_KEY and GATEWAY_ADMIN_KEY. Set it on "
    "every replica (openssl rand -hex 32 makes one), and start them again."
)
_ID: Final = re.compile(r"key_[a-z0-9]{8}")
_DECLARED: Final = "yaml:"
_T = TypeVar("_T")
_CONFLICT: Final[dict[int | str, dict[str, Any]]] = {
    409: {
        "description": "conflict",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
}
Visible = Annotated[str, Query(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
router = APIRouter(prefix="/admin", route_class=AdminRoute)


class Rotation(BaseModel):
    """How a key is rotated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grace_s: Annotated[StrictInt, Field(ge=0, le=LONGEST_GRACE_S)] = Field(
        0, description="How long the key before stays valid; 0: it is refused at once."
    )


@router.post("/keys", status_code=201, response_model=KeyMade, responses=_CONFLICT)
async def create_key(fields: NewKey, request: Request) -> dict[str, Any]:
    """Make a key. Its text is in this answer, and nowhere else."""
    services, by = services_of(request), caller_of(request).name
    if fields.name in services.keeper.declared:
        raise Conflict(f"routes.yaml declares a key named '{fields.name}'.", param="name")
    key_id, text = new_key()
    digest = _digest(services, text)
    caller = fields.caller(key_id, fields.name)

    async def make(store: KeyStore) -> KeyRow:
        return await store.create(caller, digest, by=by, through=API)

    key = await _changed(services, make)
    log.warning("key_created", key=fields.name, id=key_id, by=by)
    return key | {"key": text}


@router.get("/keys", response_model=KeyList)
async def list_keys(
    request: Request,
    after: Visible | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_KEYS)] = MOST_KEYS,
    revoked: Annotated[bool, Query(description="Whether to list revoked ones, too.")] = False,
) -> dict[str, Any]:
    """List keys by their names, with what they have spent; those that routes.yaml declares are on the first page."""
    services = services_of(request)
    now, declared = services.clock.now(), services.keeper.declared if after is None else {}

    async def read(database: Database) -> tuple[list[KeyRow], dict[str, Any]]:
        rows = await KeyStore(database, services.clock).page(after, limit + 1, revoked=revoked)
        ids = [row.caller.id for row in rows[:limit]] + [key.caller.id for key in declared.values()]
        return rows, dict(await Standings(database).of(ids))

    rows, spent = await _asked(services, read)
    listed = [shown(row, spent.get(row.caller.id), now) for row in rows[:limit]]
    of_yaml = [shown_declared(key.caller, spent.get(key.caller.id), now) for key in declared.values()]
    more = len(rows) > limit
    return {"data": of_yaml + listed, "has_more": more, "next_after": listed[-1]["name"] if more else None}


@router.get("/keys/{key_id}", response_model=KeyView)
async def show_key(key_id: str, request: Request) -> dict[str, Any]:
    """Show a key, with what it has spent."""
    services = services_of(request)
    now, declared = services.clock.now(), _declared(services, key_id)
    if declared is None:
        _known(key_id)

    async def read(database: Database) -> dict[str, Any]:
        spent = (await Standings(database).of([key_id])).get(key_id)
        if declared is not None:
            return shown_declared(declared, spent, now)
        row = await KeyStore(database, services.clock).find(key_id)
        if row is None:
            raise _no_key(key_id)
        return shown(row, spent, now)

    return await _asked(services, read)


@router.patch("/keys/{key_id}", response_model=KeyView, responses=_CONFLICT)
async def change_key(key_id: str, changes: KeyChanges, request: Request) -> dict[str, Any]:
    """Change a key: a JSON Merge Patch, so what is absent stays and null takes away. Its name and text stay."""
    services, by = services_of(request), caller_of(request).name
    _ours(services, key_id)

    def change(caller: Caller) -> Caller:
        try:
            return changes.changed(caller)
        except ValidationError as error:
            field, said = problems(error)[0]
            raise InvalidRequest(f"{field}: {said}.", param=field) from None

    async def put(store: KeyStore) -> KeyRow:
        return await store.change(key_id, change, by=by, through=API)

    key = await _changed(services, put)
    log.warning("key_changed", key=key["name"], id=key_id, by=by, fields=sorted(changes.model_fields_set))
    return key


@router.post("/keys/{key_id}/rotate", response_model=KeyMade, responses=_CONFLICT)
async def rotate_key(key_id: str, request: Request, how: Annotated[Rotation | None, Body()] = None) -> dict[str, Any]:
    """Give a key another text, which is in this answer and nowhere else; the one before is valid for ``grace_s``."""
    services, by = services_of(request), caller_of(request).name
    _ours(services, key_id)
    grace = timedelta(seconds=(how or Rotation()).grace_s)
    text = new_text(key_id)
    digest = _digest(services, text)

    async def rotate(store: KeyStore) -> KeyRow:
        return await store.rotate(key_id, digest, grace=grace, by=by, through=API)

    key = await _changed(services, rotate)
    log.warning("key_rotated", key=key["name"], id=key_id, by=by, grace_s=int(grace.total_seconds()))
    return key | {"key": text}


@router.delete("/keys/{key_id}", response_model=KeyView, responses=_CONFLICT)
async def revoke_key(key_id: str, request: Request) -> dict[str, Any]:
    """Revoke a key for good: this replica refuses it from now on, the others within seconds."""
    services, by = services_of(request), caller_of(request).name
    _ours(services, key_id)

    async def revoke(store: KeyStore) -> KeyRow:
        return await store.revoke(key_id, by=by, through=API)

    key = await _changed(services, revoke)
    log.warning("key_revoked", key=key["name"], id=key_id, by=by)
    return key


@router.get("/audit", response_model=ChangeList)
async def list_changes(
    request: Request,
    subject: Annotated[Visible | None, Query(description="Only what was done to this key (its id) or route.")] = None,
    before: Annotated[UUID | None, Query(description="Only what came before the change with this id.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_CHANGES)] = 100,
) -> dict[str, Any]:
    """List what administrators changed, the newest first."""
    services = services_of(request)

    async def read(database: Database) -> list[dict[str, Any]]:
        last = str(before) if before is not None else None
        rows = await AuditStore(database).latest(limit + 1, subject=subject, before=last)
        return [shown_change(row) for row in rows]

    rows = await _asked(services, read)
    more = len(rows) > limit
    return {"data": rows[:limit], "has_more": more, "next_before": rows[limit - 1]["id"] if more else None}


async def _asked(services: Services, ask: Ask[_T]) -> _T:
    """Ask the database, beside the gateway's loop.

    Raises:
        DatabaseAway: it cannot be asked just now.
    """
    try:
        return await services.pages.ask(ask)
    except DatabaseUnavailable as error:
        raise DatabaseAway(
            f"Keys are in the database, and it is away: {error}.", headers={"retry-after": "5"}
        ) from None


async def _changed(services: Services, change: Callable[[KeyStore], Awaitable[KeyRow]]) -> dict[str, Any]:
    """Change a key, have this replica know it before anybody is told, and return the key as it is shown."""
    now = services.clock.now()

    async def changed(database: Database) -> tuple[KeyRow, Standing | None]:
        row, spent = await change(KeyStore(database, services.clock)), None
        # It is changed, and a new text was made for this answer alone.
        with contextlib.suppress(DatabaseUnavailable):
            spent = (await Standings(database).of([row.caller.id])).get(row.caller.id)
        return row, spent

    row, spent = await _asked(services, changed)
    try:
        async with asyncio.timeout(REFRESH_S):
            await services.keeper.refresh()
    except (DatabaseUnavailable, TimeoutError) as error:
        # This replica learns of it as all the others do.
        log.warning("keys_not_read", error=str(error))
    return shown(row, spent, now)


def _digest(services: Services, text: str) -> str:
    if not services.keeper.ring.is_keyed:
        raise Conflict(NO_PEPPER)
    return services.keeper.ring.digest(text.encode()).hex()


def _declared(services: Services, key_id: str) -> Caller | None:
    found = services.keeper.declared.get(key_id.removeprefix(_DECLARED)) if key_id.startswith(_DECLARED) else None
    return found.caller if found is not None else None


def _ours(services: Services, key_id: str) -> None:
    """Raise where a key is not in the database, and so is not to be changed here."""
    if _declared(services, key_id) is not None:
        raise Conflict("This key is declared in routes.yaml; change it there.")
    _known(key_id)


def _known(key_id: str) -> None:
    """Raise for what is no key's id: the database does not take every character."""
    if not _ID.fullmatch(key_id):
        raise _no_key(key_id)


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"There is no key with the id {key_id[:100]!r}.")
