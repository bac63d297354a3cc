"""Whether an answer keeps what its route promises of it."""

from collections.abc import Iterable
from typing import Final, Protocol

import orjson

MOST_CHARS: Final = 1 << 20
"""Of one text: to check so many takes 4 ms of an invoice, up to 180 ms of the worst list, and the loop does nothing
else meanwhile. No model says as much at once."""


class Validator(Protocol):
    """A compiled JSON Schema."""

    def is_valid(self, instance: object) -> bool:
        """Tell whether an instance keeps the schema."""


def breaks_contract(checker: Validator, texts: Iterable[str]) -> bool | None:
    """Tell whether what an answer says is not what the route's contract promises.

    None: it says nothing in words, or, beside what keeps it, too much to look at.
    """
    found, unseen = None, False
    for text in texts:
        if len(text) > MOST_CHARS:
            unseen = True
            continue
        try:
            found = not checker.is_valid(orjson.loads(text))
        except ValueError:
            found = True
        if found:
            return True
    return None if unseen else found
