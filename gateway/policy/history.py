"""What replayed history holds that its target would refuse: other vendors' reasoning, and what SDKs made of an answer.

OpenAI's SDKs put ``parsed`` and ``parsed_arguments`` into the messages and items that they return, and applications
send these back as they got them. Servers that check no fields take them, others do not. Pure.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.policy.traits import REASONING_FIELDS

_PARSED: Final = frozenset(("parsed", "parsed_arguments"))
_HOLDERS: Final = ("tool_calls", "function", "content")
"""Where in a message or an item what was parsed may stand, beside the top."""


def forget_reasoning(body: dict[str, Any], kept: frozenset[str]) -> list[str]:
    """Leave out the reasoning of other vendors' models; return what changed."""
    messages, gone = body.get("messages"), REASONING_FIELDS - kept
    if not isinstance(messages, list) or all(gone.isdisjoint(m) for m in messages if isinstance(m, dict)):
        return []
    body["messages"] = [
        {name: value for name, value in message.items() if name not in gone} if isinstance(message, dict) else message
        for message in messages
    ]
    return ["reasoning"]


def forget_parsed(body: dict[str, Any]) -> list[str]:
    """Leave out what an SDK parsed of an answer, which says nothing that the answer does not; return what changed."""
    for name in ("messages", "input"):
        given = body.get(name)
        if isinstance(given, list) and (unparsed := [_unparsed(one) for one in given]) != given:
            body[name] = unparsed
            return ["parsed"]
    return []


def _unparsed(held: Any) -> Any:
    """Return a message, an item, a call or a part without it; itself where there is none."""
    if isinstance(held, list):
        return [_unparsed(one) for one in held]
    if not isinstance(held, dict):
        return held
    inner: Mapping[str, Any] = {
        name: _unparsed(held[name]) for name in _HOLDERS if isinstance(held.get(name), list | dict)
    }
    return {name: inner.get(name, value) for name, value in held.items() if name not in _PARSED}
