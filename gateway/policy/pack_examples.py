"""The examples of a prompt pack, ready to be sent: the fixed ones as they are, similar ones found for each request."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from gateway.config.packs import Pack
from gateway.config.routes import Routes
from gateway.policy.inputs import asked_text
from gateway.policy.prompts import SYSTEM_ROLES
from gateway.policy.similar import SimilarIndex

Message = dict[str, Any]


class PackExamples:
    """A pack's examples. Built once per pack; ``similar_to`` runs on the request path."""

    def __init__(self, pack: Pack) -> None:
        self.fixed: tuple[Message, ...] = tuple(dict(m) for example in pack.fixed for m in example.messages)
        """In the order of the pack: the same bytes in every request."""
        self._pool = pack.pool
        self._messages = [tuple(dict(message) for message in example.messages) for example in pack.pool]
        self._most, self._most_tokens = pack.similar, pack.similar_tokens
        self._index = SimilarIndex([asked_text(example.messages) for example in pack.pool] if self._most else [])

    def similar_to(self, messages: Sequence[Mapping[str, Any]]) -> list[Message]:
        """Return the messages of the pool's examples that are most like the last user message, the best one last.

        As many as the pack says, within its budget of tokens.
        """
        if not self._most or not self._pool:
            return []
        chosen, left = [], self._most_tokens
        for position in self._index.best(asked_text(messages), self._most):
            tokens = self._pool[position].tokens
            if tokens <= left:
                chosen.append(position)
                left -= tokens
        return [message for position in reversed(chosen) for message in self._messages[position]]


@lru_cache(maxsize=256)
def examples_of(pack: Pack) -> PackExamples:
    """Return a pack's examples; kept, since new dates make new snapshots of the same packs."""
    return PackExamples(pack)


def index(routes: Routes) -> None:
    """Build what similar examples are found by; some tenths of a second for thousands of them, so not on the loop."""
    for route in routes.routes.values():
        for target in route.fallbacks:
            if target.prompt is not None and target.prompt.pack is not None:
                examples_of(target.prompt.pack)


def in_words(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the examples of a chat that are text alone, which every endpoint can carry; system messages are none.

    An example begins with its first user message and goes until the next one that follows an answer; one with tools or
    pictures is left out whole.
    """
    examples: list[list[Message]] = []
    for message in messages:
        if message["role"] in SYSTEM_ROLES:
            continue
        if not examples or (message["role"] == "user" and examples[-1][-1]["role"] == "assistant"):
            examples.append([])
        examples[-1].append(message)
    return tuple(message for example in examples if all(map(_is_text, example)) for message in example)


def _is_text(message: Message) -> bool:
    in_words = message["role"] in ("user", "assistant") and isinstance(message.get("content"), str)
    return in_words and not message.get("tool_calls")
