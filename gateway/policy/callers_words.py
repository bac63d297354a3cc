"""Whether an error that sounds like the end of a model is about something else that the caller named. Pure.

Requests can name other models (for moderation, for tools, as the caller's own alternatives). When one of those does not
exist, the words are the same, and nobody else's model must be doubted for it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_THE_MODEL: Final = frozenset(("model", "engine", "deployment", "deployment_id", "body.model"))
_CONTENT: Final = frozenset(("model", "messages", "input", "prompt", "instructions"))
_ID: Final = re.compile(r"(?=[^\s'\"`]*[\d/:_-])[\w.:/@-]{3,200}")
_LONGEST_ID: Final = 200
_DEEPEST: Final = 6


def is_about_the_callers(message: str, param: object, model: str, body: Mapping[str, Any]) -> bool:
    """Tell whether an error names a parameter other than the model, or an id that the caller put somewhere else."""
    if isinstance(param, str) and param and param.lower() not in _THE_MODEL:
        return True
    if model in message:
        return False
    named = {word.strip(".:") for word in _ID.findall(message[:2_000])}
    return bool(named) and not named.isdisjoint(_ids({k: v for k, v in body.items() if k not in _CONTENT}, 0))


def _ids(value: object, depth: int) -> Iterator[str]:
    """Yield the short texts of a body."""
    if isinstance(value, str):
        if len(value) <= _LONGEST_ID:
            yield value
    elif depth < _DEEPEST and isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _ids(inner, depth + 1)
