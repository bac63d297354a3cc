"""The keys: who may call, how much of it is used, and what ends soon?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from gateway.api.deps import Services, services_of
from gateway.api.pages.frame import Page, can_act, render
from gateway.api.pages.key_form import path_of, why_not
from gateway.api.pages.keys_words import STATES, Window, lead_of, rates_words, routes_words, windows_of
from gateway.config.callers import RESERVED_NAMES, Caller, KeyRole
from gateway.policy.key_states import KeyState, state_of
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.key_usage import KeyUsageStore, KeyUse
from gateway.store.keys import KeyRow, KeyStore
from gateway.store.standings import Standing, Standings

router = APIRouter(route_class=Page)
A_PAGE: Final = 50
DAYS: Final = 30
FRESH_S: Final = 5.0
"""What was spent; that a key was changed shows at once."""
LONGEST_QUERY: Final = 200


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One row of the table."""

    id: str
    name: str
    href: str
    who: str
    """Owner, and team where it is another word."""
    role: KeyRole
    is_declared: bool
    """In routes.yaml."""
    is_shadowed: bool
    """Whether another key has its name, so that this one opens nothing."""
    routes: str
    rates: str
    state: KeyState
    state_word: str
    ends: datetime | None
    windows: tuple[Window, ...]
    use: KeyUse | None
    """In the last days; None: it was not used, or that is not known."""

    @property
    def concerns(self) -> bool:
        """Whether a person should look at it."""
        return self.state is KeyState.EXPIRING or any(window.is_nearly_spent for window in self.windows)


@dataclass(frozen=True, slots=True)
class KeysView:
    """The whole view."""

    lead: str
    lines: tuple[KeyLine, ...]
    found: int
    """Keys that match, on this page or another."""
    total: int
    """Keys that are not revoked."""
    revoked: int
    shows_revoked: bool
    query: str
    earlier: str
    """The address of the page before; empty: this is the first."""
    later: str
    days: int
    is_used_known: bool
    is_keyed: bool
    """Whether there is a pepper, and so keys of their own at all."""
    is_open: bool
    """Whether callers need no key."""
    can_act: bool
    why_not: str
    away: str = ""


@dataclass(frozen=True, slots=True)
class _Key:
    """A key, wherever it is kept."""

    caller: Caller
    state: KeyState
    is_declared: bool


@router.get("/keys")
async def keys(request: Request) -> Response:
    """List keys: those in use, or those that were revoked."""
    asked = request.query_params
    page = asked.get("page", "1")
    number = int(page) if page.isascii() and page.isdigit() and len(page) <= 6 else 1
    query = asked.get("q", "").strip()[:LONGEST_QUERY]
    view = await read(request, query, max(1, number), shows_revoked=asked.get("show") == "revoked")
    return await render(request, "keys.html", view, "Keys")


async def read(request: Request, query: str, number: int, *, shows_revoked: bool) -> KeysView:
    """Read a page of the keys."""
    services = services_of(request)
    now, declared = services.clock.now(), services.keeper.declared
    rows: Sequence[KeyRow] = ()
    spent: Mapping[str, Standing] = {}
    away = ""

    async def ask(database: Database) -> tuple[list[KeyRow], Mapping[str, Standing]]:
        return await KeyStore(database, services.clock).all(), await Standings(database).of(None)

    try:
        rows, spent = await services.pages.read(("keys", services.keeper.version, now.date()), ask, fresh_s=FRESH_S)
    except DatabaseUnavailable as error:
        away = str(error)
    all_keys = [_Key(key.caller, state_of(key.caller.expires_at, None, now), True) for key in declared.values()]
    all_keys += [_Key(row.caller, state_of(row.caller.expires_at, row.revoked_at, now), False) for row in rows]
    windows = {key.caller.id: windows_of(key.caller, spent.get(key.caller.id), is_known=not away) for key in all_keys}
    living = [key for key in all_keys if key.state is not KeyState.REVOKED]
    chosen = [key for key in all_keys if key.state is KeyState.REVOKED] if shows_revoked else living
    found = sorted((key for key in chosen if _matches(key, query)), key=lambda key: _order(key, windows))
    number = min(number, max(1, -(-len(found) // A_PAGE)))
    shown = found[(number - 1) * A_PAGE : number * A_PAGE]
    used, is_used_known = await _used(services, tuple(sorted(key.caller.name for key in shown)), now)
    taken = RESERVED_NAMES | declared.keys()
    stand = [
        (key.caller.name, key.state, key.caller.expires_at, any(w.is_nearly_spent for w in windows[key.caller.id]))
        for key in living
    ]

    def href(page: int) -> str:
        said = {"q": query, "show": "revoked" if shows_revoked else "", "page": str(page) if page > 1 else ""}
        said = {name: value for name, value in said.items() if value}
        return f"/ui/keys?{urlencode(said)}" if said else "/ui/keys"

    return KeysView(
        lead_of(stand, now),
        tuple(_line(key, windows[key.caller.id], used.get(key.caller.name), key.caller.name in taken) for key in shown),
        len(found),
        len(living),
        len(all_keys) - len(living),
        shows_revoked,
        query,
        href(number - 1) if number > 1 else "",
        href(number + 1) if len(found) > number * A_PAGE else "",
        DAYS,
        is_used_known,
        services.keeper.ring.is_keyed,
        services.keeper.ring.is_open,
        can_act(request),
        why_not(request),
        away,
    )


async def _used(services: Services, names: tuple[str, ...], now: datetime) -> tuple[Mapping[str, KeyUse], bool]:
    """Return what the keys of one page were used for; and whether that is known."""

    async def ask(database: Database) -> Mapping[str, KeyUse]:
        return await KeyUsageStore(database).of(names, now - timedelta(days=DAYS), now)

    try:
        return await services.pages.read(("keys' use", names), ask), True
    except DatabaseUnavailable:
        return {}, False


def _line(key: _Key, windows: tuple[Window, ...], use: KeyUse | None, is_taken: bool) -> KeyLine:
    caller = key.caller
    team = caller.team if caller.team != caller.owner else None
    return KeyLine(
        caller.id,
        caller.name,
        path_of(caller.id),
        " · ".join(word for word in (caller.owner, team) if word),
        caller.role,
        key.is_declared,
        is_taken and not key.is_declared,
        routes_words(caller),
        rates_words(caller),
        key.state,
        STATES[key.state],
        caller.expires_at,
        windows,
        use,
    )


def _matches(key: _Key, query: str) -> bool:
    caller = key.caller
    said = [caller.name, caller.id, caller.owner or "", caller.team or "", *(caller.routes or ())]
    said += [f"{name}={value}" for name, value in caller.tags.items()]
    text = " ".join(said).lower()
    return all(word in text for word in query.lower().split())


def _order(key: _Key, windows: Mapping[str, tuple[Window, ...]]) -> tuple[int, str, str]:
    """What needs a person comes first: what ends soon, by its end; then spent budgets; then all by name."""
    if key.state is KeyState.EXPIRING:
        return 0, key.caller.expires_at.isoformat() if key.caller.expires_at else "", key.caller.name
    if any(window.is_nearly_spent for window in windows[key.caller.id]) and key.state.opens:
        return 1, "", key.caller.name
    return (3 if key.state is KeyState.EXPIRED else 2), "", key.caller.name.lower()
