"""How long an answer may get: what a request asks for, cut to what its key may ask for, or supplied. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.config.routes import Parameters
from gateway.errors import InvalidRequest
from gateway.policy.capabilities import Capabilities

DEFAULT_TOKENS: Final = 4096
"""For a model whose longest answer is not known."""
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "chat_completions": ("max_tokens", "max_completion_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
}
"""Endpoint → what the length is called there; an endpoint that is not here writes nothing by the token."""


def length_name(
    endpoint: str, parameters: Parameters, capabilities: Capabilities, body: Mapping[str, Any]
) -> str | None:
    """Return what a target takes the length of an answer as; None: it takes none."""
    name = NAMES[endpoint][0]
    name = parameters.rename.get(name, name)
    drops = set(parameters.drop)
    for row in capabilities.rows:
        if endpoint in row.endpoints and row.holds(body, endpoint):
            name = row.renames.get(name, name)
            drops.update(row.drops)
    return None if name in drops else name


def limit_length(
    body: dict[str, Any], endpoint: str, name: str | None, *, most: int | None, otherwise: int
) -> tuple[int | None, list[str]]:
    """Cut the length that a body asks for to ``most``, or supply one under ``name``.

    Returns the length of one answer, None where the target takes none, and the names of what was changed.

    Raises:
        InvalidRequest: the body asks for no whole number of tokens, or for less than one.
    """
    changed: list[str] = []
    length = 0
    for given in dict.fromkeys((*NAMES[endpoint], *(() if name is None else (name,)))):
        asked = body.get(given)
        if asked is None:
            continue
        _check(given, asked)
        if most is not None and asked > most:
            body[given] = asked = most
            changed.append(given)
        length = max(length, asked)
    if length:
        return length, changed
    if name is None:
        return None, changed
    body[name] = most if most is not None else otherwise
    return body[name], [name]


def choices_asked(body: Mapping[str, Any], endpoint: str) -> int:
    """Return how many answers a body asks for, those included that are made and not returned.

    Raises:
        InvalidRequest: ``n`` or ``best_of`` is no whole number above zero.
    """
    counts = [1]
    for name in ("n", "best_of"):
        if (asked := body.get(name)) is not None:
            _check(name, asked)
            counts.append(asked)
    return max(counts) * (_prompts(body.get("prompt")) if endpoint == "completions" else 1)


def _prompts(prompt: object) -> int:
    # A list of numbers is one prompt, in tokens.
    return len(prompt) if isinstance(prompt, list) and any(isinstance(one, str | list) for one in prompt) else 1


def _check(name: str, asked: object) -> None:
    # type(), not isinstance(): True is an int.
    if type(asked) is not int or asked < 1:
        raise InvalidRequest(f"'{name}' must be a whole number above zero.", param=name)
