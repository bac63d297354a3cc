"""Requests of two tenants and of nobody's in particular, captured or not, for tests of what people say of them."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from fake_clock import FakeClock

from gateway.clock import time_ordered_id
from gateway.config.callers import Caller, KeyRole
from gateway.config.loader import load
from gateway.execution.prepared import Snapshot
from gateway.learning.feedback import FeedbackDesk, Given
from gateway.ledger.entry import Entry
from gateway.metrics import Metrics
from gateway.policy.inputs import input_id
from gateway.policy.splits import Split, split_of
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.reasons import Role
from gateway.store.captured import Captured
from gateway.store.database import Database
from tests.store.rows import an_entry

NOW = datetime.fromisoformat("2026-11-23T12:00:00.250+00:00")
MODEL = ("stand-in", "ft:ours")
ROUTES: dict[str, Any] = {
    "version": 1,
    "providers": {"stand-in": {"kind": "sandbox", "base_url": "http://127.0.0.1:9"}},
    "defaults": {"provider": "stand-in"},
    "routes": {
        "reply": {"primary": "ft:ours", "capture": {"share": 1, "patterns": {"customer": "CU-[0-9]{6}"}}},
        "quiet": {"primary": "ft:ours"},
        "forum": {
            "variant_by": "tenant",
            "variants": {"acme": "ft:acme", "globex": "ft:globex"},
            "capture": {"share": 1},
        },
    },
}


def key(name: str, tenant: str | None = None, **fields: Any) -> Caller:
    return Caller(f"key_{name}", name, tags={"tenant": tenant} if tenant else {}, **{"capture": True, **fields})


FORUM, SILENT, ACME, GLOBEX = key("forum"), key("silent", capture=False), key("a", "acme"), key("g", "globex")
ADMIN = Caller("admin", "admin", KeyRole.ADMIN, capture=True)


def a_snapshot(directory: Path) -> Snapshot:
    file = directory / "routes.yaml"
    file.write_text(json.dumps(ROUTES))
    configured, clock, client = load(file, environ={}).routes, FakeClock(NOW), HttpClient()
    upstreams = {name: Upstream(provider, client, {}, clock) for name, provider in configured.providers.items()}
    return Snapshot(configured, upstreams, metrics=Metrics(), clock=clock)


def a_desk(database: Database, snapshot: Snapshot, counted: list[tuple[str, str]] | None = None) -> FeedbackDesk:
    """A desk that does not wait for what is on its way; its clock stands still."""
    told = [] if counted is None else counted
    return FeedbackDesk(lambda: database, lambda: snapshot, FakeClock(NOW), lambda *mark: told.append(mark), wait_s=0)


def asks(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def asked_for(split: Split) -> list[dict[str, Any]]:
    """A question that is for this split."""
    texts = (f"Where is order number {number}?" for number in range(1_000))
    return next(asks(text) for text in texts if split_of(asks(text)) is split)


TAUGHT, HELD_OUT = asked_for(Split.TRAIN), asked_for(Split.EVALUATION)


def a_captured(number: int = 1, messages: Any = TAUGHT, said: Any = "On its way.", **fields: Any) -> Captured:
    tools = fields.pop("tools", None)
    request = {"messages": messages, **({"tools": tools} if tools else {})}
    answer = said if isinstance(said, dict) else {"role": "assistant", "content": said}
    given: dict[str, Any] = {
        "captured_id": str(UUID(int=number)),
        "route": "reply",
        "tenant": "",
        "input_id": input_id(messages, tools),
        "request_id": f"req-{number}",
        "user_digest": None,
        "role": Role.PRIMARY,
        "provider": MODEL[0],
        "model": MODEL[1],
        "prompt_version": None,
        "request": json.dumps(request),
        "answer": json.dumps(answer),
        "redacted": {"email": 1},
        "captured_at": NOW - timedelta(seconds=60),
        "expires_at": NOW + timedelta(days=30),
    }
    return Captured(**{**given, **fields})


def an_attempt(request_id: str, route: str = "reply", tenant: str | None = None, **fields: Any) -> Entry:
    started_at = fields.pop("started_at", NOW - timedelta(seconds=60))
    own = {"attempt_id": time_ordered_id(started_at), "started_at": started_at, "finished_at": started_at}
    who = {"provider": MODEL[0], "model_asked": MODEL[1], "tags": {"tenant": tenant} if tenant else None}
    return an_entry(request_id=request_id, route=route, **{**own, **who, **fields})


def says(request_id: str = "req-1", **fields: Any) -> Given:
    return Given(request_id, **fields)
