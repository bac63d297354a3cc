"""Responses that are kept, so that later ones can go on from them; and what can be asked of one."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qs

from gateway.clock import Clock
from gateway.sandbox.refusals import ProviderError, method_not_allowed, openai_error, out_of_range, unknown_url

KEPT_RESPONSES = 10_000
_ITEMS_A_PAGE, _MOST_ITEMS_A_PAGE = 20, 100
Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """A response, and the conversation that it is the end of."""

    response: Mapping[str, Any]
    before: tuple[Item, ...]
    """The conversation that it goes on from."""
    given: tuple[Item, ...]
    """Its own input."""
    ready_at_s: float = 0.0
    """When it is done, by the monotonic clock: later than now only where it runs in the background."""

    @property
    def id(self) -> str:
        """The response's id."""
        return str(self.response["id"])

    @property
    def conversation(self) -> tuple[Item, ...]:
        """Everything that was said, its own output last."""
        return (*self.before, *self.given, *self.response["output"])


class StoredResponses:
    """The responses, oldest first, and their items by id; beyond ten thousand the oldest are forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._responses: dict[str, StoredResponse] = {}
        self._items: dict[str, tuple[str, Item]] = {}
        self._secret = secrets.token_bytes(32)

    def keep(self, stored: StoredResponse) -> None:
        """Keep a response and its items."""
        while len(self._responses) >= KEPT_RESPONSES:
            self.forget(next(iter(self._responses)))
        self._responses[stored.id] = stored
        for item in (*stored.given, *stored.response["output"]):
            # One that refers to an earlier response's remains that response's.
            self._items.setdefault(item["id"], (stored.id, item))

    def forget(self, response_id: str) -> None:
        """Drop a response, and the items that it brought."""
        stored = self._responses.pop(response_id)
        for item in (*stored.given, *stored.response["output"]):
            if self._items.get(item["id"], ("", item))[0] == response_id:
                del self._items[item["id"]]

    def find(self, response_id: str) -> StoredResponse | None:
        """Return a response, as it stands by now; None: it is not kept."""
        stored = self._responses.get(response_id)
        if stored is None or self._clock.monotonic() >= stored.ready_at_s:
            return stored
        return replace(stored, response=running(stored.response, "in_progress"))

    def item(self, item_id: str) -> Item | None:
        """Return an item of a response that is kept."""
        _, item = self._items.get(item_id, ("", None))
        return item

    def cancel(self, stored: StoredResponse) -> StoredResponse:
        """End a response that still runs in the background."""
        cancelled = replace(stored, response=running(stored.response, "cancelled"), ready_at_s=0.0)
        self._responses[stored.id] = cancelled
        return cancelled

    def seal(self) -> str:
        """Return encrypted reasoning: only whoever made it can tell that it is genuine."""
        nonce = secrets.token_hex(24)
        return f"gAAAAAB{nonce}{self._signature(nonce)}=="

    def is_sealed(self, content: str) -> bool:
        """Tell whether encrypted reasoning was made here."""
        body = content.removeprefix("gAAAAAB").removesuffix("==")
        return content == f"gAAAAAB{body[:48]}{self._signature(body[:48])}=="

    def _signature(self, nonce: str) -> str:
        return blake2b(nonce.encode(errors="replace"), key=self._secret, digest_size=24).hexdigest()


def running(response: Mapping[str, Any], status: str) -> dict[str, Any]:
    """Return a response that has no answer: not yet, or because it was cancelled."""
    return {**response, "status": status, "output": [], "usage": None, "completed_at": None, "incomplete_details": None}


def answer(responses: StoredResponses, method: str, path: str, query: str) -> dict[str, Any]:
    """Answer a request about one response; ``path`` is what follows ``/responses/``.

    Raises:
        ProviderError: there is no such response, or what is asked cannot be done with it.

    """
    response_id, _, action = path.partition("/")
    if action not in ("", "cancel", "input_items"):
        raise unknown_url(method, f"/v1/responses/{path}")
    if method not in {"": ("GET", "DELETE"), "cancel": ("POST",), "input_items": ("GET",)}[action]:
        raise method_not_allowed(method, f"/v1/responses/{path}")
    stored = responses.find(response_id)
    if stored is None:
        raise openai_error(404, f"Response with id '{response_id}' not found.")
    if action == "input_items":
        return _page((*stored.before, *stored.given), query)
    if action == "cancel":
        if not stored.response["background"]:
            raise openai_error(400, "Cannot cancel a synchronous response.")
        if stored.response["status"] != "in_progress":
            raise openai_error(400, f"Cannot cancel a {stored.response['status']} response.")
        return dict(responses.cancel(stored).response)
    if method == "DELETE":
        responses.forget(response_id)
        return {"id": response_id, "object": "response", "deleted": True}
    return dict(stored.response)


def _page(items: Sequence[Item], query: str) -> dict[str, Any]:
    """Return the items behind ``after``, the newest first unless told otherwise."""
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    written = asked.get("limit", str(_ITEMS_A_PAGE))
    limit = int(written) if re.fullmatch(r"[0-9]{1,9}", written) else 0
    if not 1 <= limit <= _MOST_ITEMS_A_PAGE:
        raise out_of_range("limit", "integer", 1 if limit < 1 else _MOST_ITEMS_A_PAGE, limit)
    ordered = list(items) if asked.get("order") == "asc" else list(reversed(items))
    start = 0
    if after := asked.get("after"):
        start = next((place for place, item in enumerate(ordered, 1) if item["id"] == after), 0)
        if not start:
            raise _no_item(after)
    page = ordered[start : start + limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": start + limit < len(ordered),
    }


def _no_item(item_id: str) -> ProviderError:
    return openai_error(404, f"Item with id '{item_id}' not found.", param="after")
