"""Whether an answer keeps what its route promises of it."""

from collections.abc import Iterable
from typing import Protocol

import orjson


class Validator(Protocol):
    """A compiled JSON Schema."""

    def is_valid(self, instance: object) -> bool:
        """Tell whether an instance keeps the schema."""


def breaks_contract(checker: Validator, texts: Iterable[str]) -> bool:
    """Tell whether what an answer says is not what the route's contract promises."""
    for text in texts:
        try:
            if not checker.is_valid(orjson.loads(text)):
                return True
        except orjson.JSONDecodeError:
            return True
    return False
