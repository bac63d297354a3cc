"""Answered requests for tests of capture, and what becomes of them."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
from fake_clock import FakeClock

from gateway.config.routes import Route
from gateway.config.routes_learning import Capture
from gateway.learning.capture.worker import CaptureWorker, Seen
from gateway.reasons import Role
from gateway.store.captured import Captured, CapturedStore

SECRETS = ("jane.doe@example.com", "+49 30 901820", "4111 1111 1111 1111", "CU-123456")
PLANTED = f"Write to {SECRETS[0]} or call {SECRETS[1]}; card {SECRETS[2]}, customer {SECRETS[3]}."
CLEAN = "Write to [email] or call [phone]; card [card], customer [customer]."
SETTINGS = Capture(share=1.0, patterns={"customer": "CU-[0-9]{6}"})
ASKED = [{"role": "user", "content": "where is it?"}]
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "on its way", "refusal": None}}]}
NOW = FakeClock().now()


def a_route(capture: Capture | None = SETTINGS, tenant: str | None = None) -> Route:
    return Route(name="forum-reply", primary=None, fallback_on=frozenset(), capture=capture, tenant=tenant)


def seen(body: Any = None, answer: Any = ANSWER, route: Route | None = None, **fields: Any) -> Seen:
    given: dict[str, Any] = {
        "route": route or a_route(),
        "request_id": "req-1",
        "body": {"messages": ASKED} if body is None else body,
        "answer": answer,
        "blocks": None,
        "role": Role.PRIMARY,
        "provider": "sandbox",
        "model": "ft:gpt-4o-mini-2024-07-18:acme:forum:A1",
        "prompt_version": None,
        "at": NOW,
    }
    return Seen(**{**given, **fields})


def said(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def answered(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": None, **message}}]}


def streamed(*deltas: dict[str, Any]) -> bytes:
    chunks = ({"choices": [{"index": 0, "delta": delta}]} for delta in deltas)
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def call(arguments: str, name: str = "look_up") -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


async def written(store: CapturedStore, *rows: Seen, tenant: str | None = None) -> tuple[list[Captured], Counter[str]]:
    """Submit rows, wait until they are written, and return what is kept and how many ended how."""
    outcomes: Counter[str] = Counter()
    worker = CaptureWorker(lambda: store, FakeClock(), lambda route, outcome: outcomes.update([outcome]))
    for row in rows:
        worker.submit(row)
    await worker.close(60)
    return await store.of_route("forum-reply", tenant), outcomes


def everything(path: Path) -> bytes:
    """The bytes of a SQLite file and of its journal."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))
