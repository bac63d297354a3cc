"""One key: what may it do, what has it spent, and who changed it?"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from fastapi import APIRouter, Request, Response

from gateway.api.deps import Services, services_of
from gateway.api.pages import words
from gateway.api.pages.charts import Amount, Chart, columns
from gateway.api.pages.frame import Page, PageError, Said, can_act, render
from gateway.api.pages.key_form import GRACES, KeyForm, callable_names, form_of_caller, no_such_key, notice_of, why_not
from gateway.api.pages.keys_words import STATES, Window, changes_words, may_do, windows_of
from gateway.config.callers import Caller
from gateway.config.key_text import KEY_ID
from gateway.policy.key_states import KeyState, state_of
from gateway.reasons import Role
from gateway.store.audit import AuditRow, AuditStore
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.key_usage import KeyHour, KeyUsageStore
from gateway.store.keys import KeyRow, KeyStore
from gateway.store.standings import Standing, Standings

router = APIRouter(route_class=Page)
DAYS: Final = 30
MOST_CHANGES: Final = 30
FRESH_S: Final = 5.0
YAML: Final = "yaml:"


@dataclass(frozen=True, slots=True)
class DayOfKey:
    """What a key was used for in one day. Money in nano-dollars."""

    day: date
    requests: int
    on_primary_nanousd: int
    on_fallback_nanousd: int
    unpriced: int

    @property
    def cost_nanousd(self) -> int:
        """On both."""
        return self.on_primary_nanousd + self.on_fallback_nanousd


@dataclass(frozen=True, slots=True)
class RouteOfKey:
    """What a key was used for on one route, in all days."""

    route: str
    requests: int
    failed: int
    cost_nanousd: int
    unpriced: int


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One row of its audit."""

    at: datetime
    by: str
    what: str
    through: str
    changes: str


@dataclass(frozen=True, slots=True)
class KeyView:
    """One key, as it is shown."""

    caller: Caller
    row: KeyRow | None
    """None: routes.yaml declares it."""
    state: KeyState
    state_word: str
    sentences: tuple[str, ...]
    windows: tuple[Window, ...]
    last_hour: datetime | None
    days: tuple[DayOfKey, ...]
    chart: Chart | None
    routes: tuple[RouteOfKey, ...]
    changes: tuple[KeyChange, ...]
    form: KeyForm
    graces: tuple[tuple[str, str], ...]
    old_until: datetime | None
    """Until when the key before the last rotation opens, too."""
    notice: str
    enabled: bool
    why_not: str
    commands: str
    """What to type instead."""
    span: int
    away: str = ""


@dataclass(frozen=True, slots=True)
class _Kept:
    row: KeyRow | None = None
    spent: Standing | None = None
    hours: Sequence[KeyHour] = ()
    changes: Sequence[AuditRow] = ()


@router.get("/keys/{key_id}")
async def one_key(key_id: str, request: Request) -> Response:
    """Show one key."""
    view = await read(request, key_id)
    return await render(request, "key.html", view, f"Key {view.caller.name}")


async def read(request: Request, key_id: str, form: KeyForm | None = None) -> KeyView:
    """Read a key; ``form``: what somebody typed who is told why it cannot be.

    Raises:
        PageError: there is none with this id, or it is in the database, which is away.
    """
    services = services_of(request)
    now = services.clock.now()
    declared = services.keeper.declared.get(key_id.removeprefix(YAML)) if key_id.startswith(YAML) else None
    kept, away = _Kept(), ""
    if declared is None and not KEY_ID.fullmatch(key_id):
        raise no_such_key()
    try:
        name = declared.name if declared is not None else None
        kept = await services.pages.read(
            ("key", key_id, name, services.keeper.version),
            lambda database: _read(services, database, key_id, name, now),
            fresh_s=FRESH_S,
        )
    except DatabaseUnavailable as error:
        away = str(error)
        if declared is None:
            raise PageError(503, Said("The database is away", ("Keys are in it.", away))) from None
    caller = declared.caller if declared is not None else kept.row.caller if kept.row is not None else None
    if caller is None:
        raise no_such_key()
    row = kept.row
    state = state_of(caller.expires_at, row.revoked_at if row is not None else None, now)
    days = _days(kept.hours, now.date())
    return KeyView(
        caller,
        row,
        state,
        STATES[state],
        may_do(caller, callable_names(services)),
        windows_of(caller, kept.spent, is_known=not away),
        max((hour.hour for hour in kept.hours), default=None),
        days,
        columns([_amount(day) for day in days]),
        _routes(kept.hours),
        tuple(_change(change) for change in kept.changes),
        form or form_of_caller(caller),
        GRACES,
        row.old_until if row is not None and row.old_until is not None and now < row.old_until else None,
        notice_of(request),
        can_act(request) and row is not None and row.revoked_at is None,
        why_not(request),
        _commands(caller.name),
        DAYS,
        away,
    )


async def _read(services: Services, database: Database, key_id: str, name: str | None, now: datetime) -> _Kept:
    """Read it. May raise ``DatabaseUnavailable``. ``name``: that of a declared key."""
    row = await KeyStore(database, services.clock).find(key_id) if name is None else None
    label = row.caller.name if row is not None else name
    if label is None:
        return _Kept()
    spent = (await Standings(database).of([key_id])).get(key_id)
    hours = await KeyUsageStore(database).hours(label, _midnight(now) - timedelta(days=DAYS - 1), now)
    changes = await AuditStore(database).latest(MOST_CHANGES, subject=key_id)
    return _Kept(row, spent, hours, changes)


def _commands(name: str) -> str:
    """Return the command with the same effect as each form. A key's name needs no quotes."""
    return (
        f"gateway keys set {name} --budget-month 100 --rpm 600\n"
        f"gateway keys rotate {name} --grace 24h\n"
        f"gateway keys revoke {name}"
    )


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _days(hours: Sequence[KeyHour], today: date) -> tuple[DayOfKey, ...]:
    by_day: dict[date, list[KeyHour]] = defaultdict(list)
    for hour in hours:
        by_day[hour.hour.date()].append(hour)
    span = (today - timedelta(days=back) for back in range(DAYS - 1, -1, -1))
    return tuple(_day(day, by_day.get(day, ())) for day in span)


def _day(day: date, hours: Sequence[KeyHour]) -> DayOfKey:
    def cost(is_fallback: bool) -> int:
        return sum(hour.cost_nanousd for hour in hours if (hour.role is Role.FALLBACK) is is_fallback)

    requests = sum(hour.attempts - hour.failed for hour in hours)
    return DayOfKey(day, requests, cost(False), cost(True), sum(hour.unpriced for hour in hours))


def _amount(day: DayOfKey) -> Amount:
    said = f"{day.day}: {words.usd(day.cost_nanousd)}, {day.requests:,} requests"
    parts = (("primary", float(day.on_primary_nanousd)), ("fallback", float(day.on_fallback_nanousd)))
    return Amount(day.day, parts, said, words.usd(day.cost_nanousd))


def _routes(hours: Sequence[KeyHour]) -> tuple[RouteOfKey, ...]:
    by_route: dict[str, list[KeyHour]] = defaultdict(list)
    for hour in hours:
        by_route[hour.route].append(hour)
    found = [
        RouteOfKey(
            route,
            sum(hour.attempts - hour.failed for hour in of_it),
            sum(hour.failed for hour in of_it),
            sum(hour.cost_nanousd for hour in of_it),
            sum(hour.unpriced for hour in of_it),
        )
        for route, of_it in by_route.items()
    ]
    return tuple(sorted(found, key=lambda use: (-use.cost_nanousd, -use.requests, use.route)))


def _change(row: AuditRow) -> KeyChange:
    return KeyChange(
        row.at, row.by, words.words(row.action.removeprefix("key_")), row.through, changes_words(row.changes)
    )
