"""Whether live system messages are those that a fine-tune was trained with: others it answers worse than it could."""

from collections.abc import Iterable, Mapping
from random import random
from typing import Any, Final

from gateway.execution.endpoints import CHAT, RESPONSES
from gateway.execution.request import Request
from gateway.metrics import Metrics
from gateway.policy.prompts import SYSTEM_ROLES, text_of

SAMPLED: Final = 0.125
"""Of a route's requests so many are looked at; what tells is the share among them."""

_HEAD: Final = 256


class SystemPrompts:
    """Counts for one route how many of its requests came with a system message of its training."""

    __slots__ = ("_differs", "_known", "_latest", "_same")

    def __init__(self, route: str, trained: Iterable[str], metrics: Metrics) -> None:
        """``trained``: every system message of the training; an empty text where rows had none."""
        self._known = frozenset(_folded(text) for text in trained)
        self._same = metrics.system_prompts.labels(route, "yes")
        self._differs = metrics.system_prompts.labels(route, "no")
        self._latest: str | None = None
        """The known one that came last, as it was written: to compare is cheaper than to fold."""

    def look(self, request: Request) -> None:
        """Count a request, if it is one of the sample, and of an endpoint that takes a system message."""
        if random() >= SAMPLED:
            return
        if request.endpoint is CHAT:
            said = _said(request.body.get("messages"))
        elif request.endpoint is RESPONSES:
            said = _of_response(request.body)
        else:
            return
        (self._same if all(map(self._is_known, said)) else self._differs).inc()

    def _is_known(self, said: str) -> bool:
        if said == self._latest:
            return True
        # What begins otherwise need not be folded to its end. Nothing is kept of it: it is a caller's own.
        head = _folded(said[:_HEAD])
        if not any(known.startswith(head) for known in self._known) or _folded(said) not in self._known:
            return False
        self._latest = said
        return True


def _folded(text: str) -> str:
    return " ".join(text.split())


def _said(messages: Any) -> list[str]:
    """Return what the system messages say; one empty text where there is none."""
    listed = messages if isinstance(messages, list) else []
    return [text_of(each) for each in listed if isinstance(each, dict) and each.get("role") in SYSTEM_ROLES] or [""]


def _of_response(body: Mapping[str, Any]) -> list[str]:
    own = body.get("instructions")
    return [own] if isinstance(own, str) and own else _said(body.get("input"))
