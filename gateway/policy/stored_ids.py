"""Ids of what a provider stores (responses and their items), and where they lead back to. Pure.

Every such id that leaves the gateway carries a tag behind a dot, which names the provider that made it:
``resp_68af…`` becomes ``resp_68af….5f2a91c0``. So any replica, with nothing remembered, knows where a stored response
lives, and which replayed items mean nothing to another provider. Where callers have keys of their own, a mark follows
the tag, ``resp_68af….5f2a91c0d5b1…``, which only the key that was given the id has: a keyed digest of key, id and tag.
"""

import hmac
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2s
from typing import Any, Final

_TAGGED: Final = re.compile(r"((.+)\.([0-9a-f]{8}))([0-9a-f]{16})?", re.DOTALL)
_MARK_BYTES: Final = 8
UNTAGGED: Final = "untagged"
"""In the place of a tag: an id that did not come through this gateway."""
_REASONING: Final = "reasoning"
_HISTORY: Final = frozenset(("message", "function_call", "function_call_output", "custom_tool_call_output"))
"""Items that any provider understands without their ids; a message may leave its type out."""


class Owner:
    """One caller, as the ids show it that were given to it; without the secret nobody can write its marks."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes, caller_id: str) -> None:
        self._key = blake2s(caller_id.encode(), key=secret).digest()

    def mark(self, tagged: str) -> str:
        """Return the mark of an id with its tag: 16 hex digits. About a microsecond."""
        return blake2s(tagged.encode("utf-8", "surrogatepass"), key=self._key, digest_size=_MARK_BYTES).hexdigest()

    def was_given(self, id_: str) -> bool:
        """Tell whether an id was given to this caller."""
        found = _TAGGED.fullmatch(id_)
        return found is not None and hmac.compare_digest(found[4] or "", self.mark(found[1]))


@lru_cache(maxsize=1024)
def tag_of(provider: str) -> str:
    """Return the tag of a provider of routes.yaml."""
    return blake2s(provider.encode(), digest_size=4).hexdigest()


def split(id_: str) -> tuple[str, str | None]:
    """Return an id as its provider knows it, and its tag."""
    found = _TAGGED.fullmatch(id_)
    return (found[2], found[3]) if found else (id_, None)


def tag_answer(response: dict[str, Any], tag: str, owner: Owner | None = None) -> None:
    """Tag the ids of a response, in place."""
    _tag(response, "id", tag, owner)
    _tag(response, "previous_response_id", tag, owner)
    output = response.get("output")
    for item in output if isinstance(output, list) else ():
        if isinstance(item, dict):
            _tag(item, "id", tag, owner)


def tag_page(page: dict[str, Any], tag: str, owner: Owner | None = None) -> None:
    """Tag the ids of a page of items, in place."""
    for name in ("first_id", "last_id"):
        _tag(page, name, tag, owner)
    listed = page.get("data")
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict):
            _tag(item, "id", tag, owner)


def tag_event(event: dict[str, Any], tag: str, owner: Owner | None = None) -> None:
    """Tag the ids of one event of a response's stream, in place."""
    _tag(event, "item_id", tag, owner)
    item, response = event.get("item"), event.get("response")
    if isinstance(item, dict):
        _tag(item, "id", tag, owner)
    if isinstance(response, dict):
        tag_answer(response, tag, owner)


def holders_of(body: Mapping[str, Any]) -> set[str]:
    """Return the tags of the providers that hold what a request only refers to; ``UNTAGGED`` among them, where so."""
    return {split(id_)[1] or UNTAGGED for _, id_ in _referred(body)}


def not_given(body: Mapping[str, Any], owner: Owner) -> tuple[str, str] | None:
    """Return what a request only refers to and its caller was never given: the parameter, and the id."""
    return next((named for named in _referred(body) if not owner.was_given(named[1])), None)


def _referred(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _texts(
        ("previous_response_id", body.get("previous_response_id")), ("conversation", conversation_of(body))
    )
    for item in items_of(body):
        if is_reference(item):
            yield from _texts(("input", item.get("id")))


def _texts(*named: tuple[str, object]) -> Iterator[tuple[str, str]]:
    for name, id_ in named:
        if isinstance(id_, str):
            yield name, id_


def conversation_of(body: Mapping[str, Any]) -> object:
    """Return the id of the stored conversation that a request continues."""
    conversation = body.get("conversation")
    return conversation.get("id") if isinstance(conversation, dict) else conversation


def items_of(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the items of a request's input."""
    given = body.get("input")
    yield from (item for item in given if isinstance(item, dict)) if isinstance(given, list) else ()


def is_reference(item: Mapping[str, Any]) -> bool:
    """Tell whether an item only names a stored one: OpenAI lets such an item leave its type out, or be null."""
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "id" in item and "role" not in item and "content" not in item)


def untag(body: dict[str, Any], tag: str, owner: Owner | None = None) -> list[str]:
    """Put a request's ids as the provider of this tag knows them, at the body's top level only.

    Items of other providers lose their ids, and what only their makers can read (reasoning, calls of hosted tools) is
    left out; so it is with ids that this owner was never given, by which a provider might find somebody else's items.
    Returns what changed beyond the tags.
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
        is_own = made_by is None or made_by == tag if owner is None else made_by == tag and owner.was_given(id_)
        if is_own:
            kept.append(item if made_by is None else {**item, "id": bare})
        elif item.get("type", "message") in _HISTORY:
            kept.append({name: value for name, value in item.items() if name != "id"})
        else:
            changed[_REASONING if item.get("type") == _REASONING else "input"] = None
    body["input"] = kept
    return list(changed)


def _tag(holder: dict[str, Any], name: str, tag: str, owner: Owner | None) -> None:
    id_ = holder.get(name)
    if isinstance(id_, str) and id_:
        tagged = f"{id_}.{tag}"
        holder[name] = tagged if owner is None else tagged + owner.mark(tagged)
