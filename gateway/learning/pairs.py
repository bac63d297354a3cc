"""A rehearsal beside the live answer of the same request."""

from collections.abc import Callable
from typing import Final

from gateway.execution.attempts import Attempt
from gateway.learning.agreement import agreement
from gateway.learning.answers import Message, message_of, message_of_stream
from gateway.learning.asking import Asked
from gateway.ledger.entry import Entry
from gateway.store.rehearsals import Pair

MOST_KEPT_BYTES: Final = 262_144
"""An answer that takes more is compared by cost and time alone."""


def pair_of(live: Entry, asked: Asked, read: Callable[[], Message | None]) -> Pair:
    """Return a rehearsal beside its live answer, which ``read`` returns."""
    entry, said = asked.entry, read()
    priced = entry.cost_nanousd is not None and live.cost_nanousd is not None
    timed = entry.ttft_ms is not None and live.ttft_ms is not None
    return Pair(
        attempt_id=entry.attempt_id,
        request_id=live.request_id,
        route=live.route,
        target=entry.target,
        prompt_version=entry.prompt_version,
        cost_nanousd=(entry.cost_nanousd or 0) - (live.cost_nanousd or 0) if priced else None,
        duration_ms=entry.duration_ms - live.duration_ms,
        ttft_ms=(entry.ttft_ms or 0.0) - (live.ttft_ms or 0.0) if timed else None,
        agreement=agreement(said, asked.message) if said is not None and asked.message is not None else None,
    )


def reading(attempt: Attempt) -> Callable[[], Message | None]:
    """Return what reads an attempt's message later; of an answer that is too long, nothing is read."""
    answer, blocks = attempt.answer, attempt.request.kept
    if answer is not None:
        return lambda: message_of(answer) if len(attempt.answer_body) <= MOST_KEPT_BYTES else None
    return lambda: message_of_stream(blocks) if blocks is not None else None
