"""Which captured input a request id stands for, and what is kept of it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, select

from gateway.reasons import Role
from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_learning import captured, captured_again

_c, _again = captured.c, captured_again.c
_OF_INPUT = (_c.route, _c.tenant, _c.input_id, _c.request, _c.redacted)


@dataclass(frozen=True, slots=True)
class CapturedRequest:
    """What is kept of what one request asked."""

    route: str
    tenant: str
    """Empty: nobody's in particular."""
    input_id: str
    request: str
    """JSON, redacted: ``{"messages": […]}``, with tools and response_format where there were any."""
    redacted: dict[str, int]
    user_digest: str | None
    answer: str | None = None
    """JSON, redacted: the assistant's message. None, with all below: the same was asked before, and the answer that is
    kept is that request's, not this one's."""
    role: Role | None = None
    provider: str | None = None
    model: str | None = None
    prompt_version: str | None = None


class CapturedRequests:
    """Reads. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def of(self, request_id: str) -> list[CapturedRequest]:
        """Return what requests with this id asked, of every route and tenant; those with their own answers first.

        Callers choose request ids: several may have chosen the same.
        """
        own = select(*_OF_INPUT, _c.user_digest, _c.answer, _c.role, _c.provider, _c.model, _c.prompt_version).where(
            _c.request_id == request_id
        )
        same = and_(_again.route == _c.route, _again.tenant == _c.tenant, _again.input_id == _c.input_id)
        again = select(*_OF_INPUT, _again.user_digest).join_from(captured_again, captured, same)
        found = [*await self._rows.read(own.order_by(_c.captured_id.desc()))]
        found += await self._rows.read(again.where(_again.request_id == request_id))
        return [_request(row) for row in found]


def _request(row: dict[str, Any]) -> CapturedRequest:
    return CapturedRequest(**{**row, "role": Role(row["role"]) if row.get("role") else None})
