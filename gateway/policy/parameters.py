"""How a request's parameters change for a target, by their names in chat completions. Pure.

The Responses API keeps some of them elsewhere: ``reasoning_effort`` is its ``reasoning.effort``. What routes.yaml and
the capabilities table say by chat's names holds there too.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.config.routes import Contract, Parameters
from gateway.policy.traits import PARAMETERS, RESPONSE_PARAMETERS, UNLISTED

_NESTED: Final[Mapping[str, tuple[str, str]]] = {
    "reasoning_effort": ("reasoning", "effort"),
    "response_format": ("text", "format"),
    "verbosity": ("text", "verbosity"),
}
_RENAMED: Final[Mapping[str, str]] = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
}


def adapt(body: dict[str, Any], parameters: Parameters, endpoint: str = "chat_completions") -> list[str]:
    """Rename, then set, then drop, at a body's top level; return the names of the parameters that changed."""
    changed: list[str] = []
    for old, new in parameters.rename.items():
        if old in body:
            value = body.pop(old)
            body.setdefault(new, value)
            changed.append(old)
    for name, value in parameters.set.items():
        if value_in(body, name, endpoint) != as_written(name, value, endpoint):
            set_in(body, name, value, endpoint)
            changed.append(name)
    changed += [name for name in parameters.drop if drop_from(body, name, endpoint)]
    return changed


def words_for(name: str) -> set[str]:
    """Return the words of requests (``traits``) that may hold a parameter."""
    word = name if name in PARAMETERS | RESPONSE_PARAMETERS else UNLISTED
    return {word, _NESTED[name][0] if name in _NESTED else _RENAMED.get(name, word)}


def value_in(body: Mapping[str, Any], name: str, endpoint: str) -> Any:
    """Return a parameter's value, wherever an endpoint keeps it; None: it has none."""
    if endpoint != "responses":
        return body.get(name)
    holder, inner = _NESTED.get(name, (None, name))
    if holder is None:
        return body.get(_RENAMED.get(name, name))
    held = body.get(holder)
    return held.get(inner) if isinstance(held, dict) else None


def set_in(body: dict[str, Any], name: str, value: Any, endpoint: str) -> None:
    """Set a parameter where an endpoint keeps it."""
    if endpoint != "responses":
        body[name] = value
        return
    holder, inner = _NESTED.get(name, (None, name))
    if holder is None:
        body[_RENAMED.get(name, name)] = value
        return
    held = body.get(holder)
    body[holder] = {**(held if isinstance(held, dict) else {}), inner: as_written(name, value, endpoint)}


def drop_from(body: dict[str, Any], name: str, endpoint: str) -> bool:
    """Take a parameter out, from where an endpoint keeps it; tell whether it was there."""
    if endpoint != "responses" or name not in _NESTED:
        name = _RENAMED.get(name, name) if endpoint == "responses" else name
        there = name in body
        body.pop(name, None)
        return there
    holder, inner = _NESTED[name]
    held = body.get(holder)
    if not isinstance(held, dict) or inner not in held:
        return False
    rest = {key: value for key, value in held.items() if key != inner}
    if rest:
        body[holder] = rest
    else:
        del body[holder]
    return True


def as_written(name: str, value: Any, endpoint: str) -> Any:
    """Return a value as an endpoint writes it: a schema's format is flat in the Responses API."""
    if endpoint == "responses" and name == "response_format" and isinstance(value, dict):
        schema = value.get("json_schema")
        return {"type": value.get("type"), **schema} if isinstance(schema, dict) else value
    return value


def response_format(contract: Contract) -> dict[str, Any]:
    """Return the ``response_format`` that asks a model to keep a contract."""
    return {
        "type": "json_schema",
        "json_schema": {"name": contract.name, "schema": dict(contract.json_schema), "strict": contract.strict},
    }
