"""Which request a mark is about: among what was captured, in the ledger, or as it is sent along; never another's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from gateway.config.callers import TENANT, Caller
from gateway.config.routes import Route
from gateway.execution.callable_routes import answers, speaks_for_all
from gateway.execution.prepared import Snapshot
from gateway.reasons import Outcome, Role
from gateway.store.captured_requests import CapturedRequest, CapturedRequests
from gateway.store.database import Database
from gateway.store.requests import KeptAttempt, RequestStore

LEDGER_ROWS: Final = 100_000
"""The newest attempts, among which a request is found that was not captured."""
LEDGER_S: Final = 1.0
_NEWEST_ROWS: Final = 10_000
_MOST_OTHERS: Final = 8
"""Others' requests of the same id that are passed over."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that somebody may mark, and what is known of it."""

    route: Route
    tenant: str
    request: Mapping[str, Any] | None = None
    """Messages and tools; None: not known."""
    answer: Mapping[str, Any] | None = None
    is_redacted: bool = False
    """Whether both were redacted when they were captured."""
    redacted: Mapping[str, int] | None = None
    input_id: str | None = None
    """Of what was captured."""
    role: Role | None = None
    provider: str | None = None
    model: str | None = None
    prompt_version: str | None = None
    user_digest: str | None = None
    started_at: datetime | None = None
    """By the ledger; None: it was not looked for there."""


class AskedRequests:
    """Finds requests for their callers. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def route(self, model: str, caller: Caller) -> Route:
        """Return the route that a caller names; a pin behind it does not count.

        Raises:
            RouteNotFound: there is none that it may call.
            NoVariant: it answers by tenant, and not to this caller's.
        """
        return self._snapshot().callable_routes.find(model.partition("@")[0], caller).route

    async def captured(
        self, database: Database, caller: Caller, request_id: str, only: Route | None, input_id: str | None = None
    ) -> Asked | None:
        """Return what was captured of a caller's request; ``only``: on this route; ``input_id``: which one is meant."""
        for kept in await CapturedRequests(database).of(request_id):
            if input_id not in (None, kept.input_id):
                continue
            route = self._snapshot().routes.routes.get(kept.route)
            if route is None or (only is not None and route.name != only.name):
                continue
            # A route that is nobody's in particular keeps nothing of callers that speak for a tenant.
            may = may_call(caller, route) and caller.tenant in (None, route.tenant)
            if may and kept.tenant == (route.tenant or ""):
                return _captured(kept, route)
        return None

    async def in_ledger(
        self, database: Database, caller: Caller, request_id: str, only: Route | None, *, newest: bool = False
    ) -> Asked | None:
        """Return what the ledger says of a caller's request, if it is among the latest; ``newest``: the very latest."""
        rows = _NEWEST_ROWS if newest else LEDGER_ROWS
        # It looks through five times as many rows for an id as for a page.
        store, before = RequestStore(database, most_rows=rows // 5, longest_s=LEDGER_S), None
        for _ in range(_MOST_OTHERS):
            found = await store.of_request(request_id, before=before)
            attempts = found.requests[0] if found.requests else ()
            own = [row for row in attempts if row.kind == "live" and self._is_own(row, caller, only)]
            if own:
                return self._of_attempts(own)
            if not attempts:
                return None
            before = attempts[0].attempt_id
        return None

    def _is_own(self, row: KeptAttempt, caller: Caller, only: Route | None) -> bool:
        route = self._snapshot().routes.routes.get(row.route)
        if route is None or not may_call(caller, route) or (only is not None and route.name != only.name):
            return False
        # What a key says of its tenant, a request cannot say otherwise: a row without one is no tenant's.
        is_theirs = (row.tags or {}).get(TENANT) == caller.tenant
        return is_theirs or route.tenant is not None or speaks_for_all(caller)

    def _of_attempts(self, attempts: Sequence[KeptAttempt]) -> Asked:
        """Return who answered: the attempt that did, else the last."""
        row = next((row for row in reversed(attempts) if row.outcome == Outcome.OK), attempts[-1])
        route = self._snapshot().routes.routes[row.route]
        return Asked(
            route=route,
            tenant=route.tenant or (row.tags or {}).get(TENANT, ""),
            role=Role(row.role),
            provider=row.provider,
            model=row.model_asked,
            prompt_version=row.prompt_version,
            started_at=row.started_at,
        )


def may_call(caller: Caller, route: Route) -> bool:
    """Tell whether a route is one of those that a caller may call."""
    return answers(route, caller) and caller.may_call(route.variant_of or route.name)


def _captured(kept: CapturedRequest, route: Route) -> Asked:
    return Asked(
        route=route,
        tenant=kept.tenant,
        request=orjson.loads(kept.request),
        answer=orjson.loads(kept.answer) if kept.answer is not None else None,
        is_redacted=True,
        redacted=kept.redacted,
        input_id=kept.input_id,
        role=kept.role,
        provider=kept.provider,
        model=kept.model,
        prompt_version=kept.prompt_version,
        user_digest=kept.user_digest,
    )
