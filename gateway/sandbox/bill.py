"""What every attempt cost, as the provider counts it: the oracle that a client's own ledger is held against."""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from gateway.sandbox.pricing import Price, Usage

KEPT_ROWS = 1_000_000
"""Older rows are forgotten."""


class BillRow(NamedTuple):
    """One attempt that reached the sandbox, whatever became of it."""

    attempt_id: str | None
    """The caller's ``X-Client-Request-Id``."""
    asked: str | None
    """The model that was asked for; None where the request did not say."""
    served: str | None
    """The model that answered; None where none did."""
    status: int | None
    """The HTTP status that was sent; None where the connection ended before one was."""
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    complete: bool
    """Whether the whole answer was sent to a client that was still there."""
    cost_nanousd: int
    endpoint: str
    """What was called: ``chat_completions``, ``responses``, ``embeddings`` … as the gateway's ledger names it."""


@dataclass(slots=True)
class Attempt:
    """An attempt while it runs; its row is written once, when it ends.

    Nothing is billed before headers of an answer are sent; then the prompt is, and every token that goes out.
    """

    attempt_id: str | None
    endpoint: str
    asked: str | None = None
    served: str | None = None
    price: Price | None = None
    """Of the model that answers; None while none does."""
    status: int | None = None
    usage: Usage = field(default_factory=Usage)
    complete: bool = False

    def row(self) -> BillRow:
        """Return the attempt as the bill shows it."""
        return BillRow(
            self.attempt_id,
            self.asked,
            self.served,
            self.status,
            self.usage.input_tokens,
            self.usage.cached_input_tokens,
            self.usage.output_tokens,
            self.complete,
            0 if self.price is None else self.price.cost_nanousd(self.usage),
            self.endpoint,
        )


class Bill:
    """The rows, oldest first, in the order in which attempts ended."""

    def __init__(self) -> None:
        self._rows: deque[BillRow] = deque(maxlen=KEPT_ROWS)
        self._count = 0

    def add(self, row: BillRow) -> None:
        """Append a row."""
        self._rows.append(row)
        self._count += 1

    def rows(self, since: int = 0) -> list[BillRow]:
        """Return the rows from index ``since`` on; indices count from the sandbox's start."""
        forgotten = self._count - len(self._rows)
        return list(islice(self._rows, max(0, since - forgotten), None))

    @property
    def next_index(self) -> int:
        """The index that the next row will have."""
        return self._count
