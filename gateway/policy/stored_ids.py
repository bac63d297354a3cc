"""Ids of what a provider stores (responses and their items), and where they lead back to. Pure.

Every such id that leaves the gateway carries a tag behind a dot, which names the provider that made it:
``resp_68af…`` becomes ``resp_68af….5f2a91c0``. So any replica, with nothing remembered, knows where a stored response
lives, and which replayed items mean nothing to another provider.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2s
from typing import Any, Final

_TAGGED: Final = re.compile(r"(.+)\.([0-9a-f]{8})", re.DOTALL)
UNTAGGED: Final = "untagged"
"""In the place of a tag: an id that did not come through this gateway."""
_REASONING: Final = "reasoning"
_HISTORY: Final = frozenset(("message", "function_call", "function_call_output", "custom_tool_call_output"))
"""Items that any provider understands without their ids; a message may leave its type out."""


@lru_cache(maxsize=1024)
def tag_of(provider: str) -> str:
    """Return the tag of a provider of routes.yaml."""
    return blake2s(provider.encode(), digest_size=4).hexdigest()


def split(id_: str) -> tuple[str, str | None]:
    """Return an id as its provider knows it, and its tag."""
    found = _TAGGED.fullmatch(id_)
    return (found[1], found[2]) if found else (id_, None)


def tag_answer(response: dict[str, Any], tag: str) -> None:
    """Tag the ids of a response, in place."""
    _tag(response, "id", tag)
    _tag(response, "previous_response_id", tag)
    output = response.get("output")
    for item in output if isinstance(output, list) else ():
        if isinstance(item, dict):
            tag_item(item, tag)


def tag_page(page: dict[str, Any], tag: str) -> None:
    """Tag the ids of a page of items, in place."""
    for name in ("first_id", "last_id"):
        _tag(page, name, tag)
    listed = page.get("data")
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict):
            tag_item(item, tag)


def tag_item(item: dict[str, Any], tag: str) -> None:
    """Tag the id of one item, in place."""
    _tag(item, "id", tag)


def tag_event(event: dict[str, Any], tag: str) -> None:
    """Tag the ids of one event of a response's stream, in place."""
    _tag(event, "item_id", tag)
    item, response = event.get("item"), event.get("response")
    if isinstance(item, dict):
        _tag(item, "id", tag)
    if isinstance(response, dict):
        tag_answer(response, tag)


def holders_of(body: Mapping[str, Any]) -> set[str]:
    """Return the tags of the providers that hold what a request only refers to; ``UNTAGGED`` among them, where so."""
    referred = [body.get("previous_response_id"), conversation_of(body)]
    referred += [item.get("id") for item in items_of(body) if item.get("type") == "item_reference"]
    return {split(id_)[1] or UNTAGGED for id_ in referred if isinstance(id_, str)}


def conversation_of(body: Mapping[str, Any]) -> object:
    """Return the id of the stored conversation that a request continues."""
    conversation = body.get("conversation")
    return conversation.get("id") if isinstance(conversation, dict) else conversation


def items_of(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the items of a request's input."""
    given = body.get("input")
    yield from (item for item in given if isinstance(item, dict)) if isinstance(given, list) else ()


def untag(body: dict[str, Any], tag: str) -> list[str]:
    """Put a request's ids as the provider of this tag knows them, at the body's top level only.

    Items of other providers lose their ids, and what only their makers can read (reasoning, calls of hosted tools) is
    left out. Returns what changed beyond the tags.
    """
    previous = body.get("previous_response_id")
    if isinstance(previous, str):
        body["previous_response_id"] = split(previous)[0]
    conversation = body.get("conversation")
    if isinstance(conversation, str):
        body["conversation"] = split(conversation)[0]
    elif isinstance(conversation, dict) and isinstance(conversation.get("id"), str):
        body["conversation"] = {**conversation, "id": split(conversation["id"])[0]}
    given = body.get("input")
    if not isinstance(given, list) or not any(isinstance(item, dict) and "id" in item for item in given):
        return []
    changed: dict[str, None] = {}
    kept = []
    for item in given:
        id_ = item.get("id") if isinstance(item, dict) else None
        if not isinstance(id_, str):
            kept.append(item)
            continue
        bare, made_by = split(id_)
        if made_by is None or made_by == tag:
            kept.append(item if made_by is None else {**item, "id": bare})
        elif item.get("type", "message") in _HISTORY:
            kept.append({name: value for name, value in item.items() if name != "id"})
        else:
            changed[_REASONING if item.get("type") == _REASONING else "input"] = None
    body["input"] = kept
    return list(changed)


def _tag(holder: dict[str, Any], name: str, tag: str) -> None:
    id_ = holder.get(name)
    if isinstance(id_, str) and id_:
        holder[name] = f"{id_}.{tag}"
